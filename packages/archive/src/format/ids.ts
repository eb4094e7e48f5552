import { createHash, hash } from 'node:crypto'

/** 64 lower-case hex digits: the SHA-256 that names a file or a blob. */
export type Hex = string

const HEX_64 = /^[0-9a-f]{64}$/

/** True when `s` is exactly 64 lower-case hex digits. */
export function isHex(s: string): boolean {
  return s.length === 64 && HEX_64.test(s)
}

/** SHA-256 of `bytes` as 32 bytes. */
export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** SHA-256 of `bytes` as 64 lower-case hex digits. */
export function sha256Hex(bytes: Uint8Array): Hex {
  return hash('sha256', bytes, 'hex')
}
