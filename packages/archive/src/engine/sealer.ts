import { randomFillSync, timingSafeEqual } from 'node:crypto'
import { HoldfastError } from '@holdfast/contract'
import type { MasterKey } from '../format/key-file.ts'
import { SEAL_OVERHEAD } from '../format/pack-header.ts'
import type { Primitives } from './primitives.ts'

/**
 * restic's authenticated encryption: IV || AES-256-CTR(plain) || Poly1305-AES(ciphertext). The MAC
 * covers the ciphertext only; its one-time half is AES-128(k, IV) (Bernstein, "The Poly1305-AES
 * message-authentication code").
 */
export interface Sealer {
  /** Seals `plain` into `target` (room for plain + 32 bytes; may be `plain`'s own memory shifted by exactly 16); the sealed length. */
  seal(plain: Uint8Array, target: Uint8Array): number
  /** Checks the MAC, then decrypts into `target`; the plain length. Throws Damaged, with `target` untouched, when it does not verify. */
  open(sealed: Uint8Array, target: Uint8Array): number
}

const IV_POOL_BYTES = 16 * 1024

/** A sealer for one key; one per thread. IVs are random and never reused. */
export function openSealer(key: MasterKey, primitives: Primitives): Sealer {
  const macKey = Buffer.alloc(32)
  key.macR.copy(macKey, 0)
  const oneTime = macKey.subarray(16)
  const zeros = Buffer.alloc(16)
  const tag = Buffer.alloc(16)
  const pool = Buffer.alloc(IV_POOL_BYTES)
  let taken = IV_POOL_BYTES
  const authenticate = (iv: Uint8Array, ciphertext: Uint8Array): void => {
    // the first block of a key stream is the encryption of its counter: AES-128(k, IV)
    primitives.aesCtr(key.macK, iv, zeros, oneTime)
    primitives.poly1305(macKey, ciphertext, tag)
  }
  return {
    seal(plain, target) {
      if (taken === IV_POOL_BYTES) {
        randomFillSync(pool)
        taken = 0
      }
      const length = plain.length
      const iv = pool.subarray(taken, taken + 16)
      taken += 16
      const ciphertext = target.subarray(16, 16 + length)
      primitives.aesCtr(key.encrypt, iv, plain, ciphertext)
      target.set(iv, 0)
      authenticate(iv, ciphertext)
      target.set(tag, 16 + length)
      return length + SEAL_OVERHEAD
    },
    open(sealed, target) {
      const length = sealed.length - SEAL_OVERHEAD
      if (length < 0)
        throw new HoldfastError(
          'Damaged',
          `sealed data of ${sealed.length} bytes is shorter than its own IV and MAC`,
        )
      const iv = sealed.subarray(0, 16)
      const ciphertext = sealed.subarray(16, 16 + length)
      authenticate(iv, ciphertext)
      if (!timingSafeEqual(tag, sealed.subarray(16 + length))) {
        throw new HoldfastError('Damaged', 'ciphertext verification failed: the MAC does not match')
      }
      primitives.aesCtr(key.encrypt, iv, ciphertext, target.subarray(0, length))
      return length
    },
  }
}
