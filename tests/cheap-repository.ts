/**
 * An empty repository whose key costs nothing to open (scrypt N=2), written with node:crypto alone, after
 * restic's published design (doc/design.rst, "Keys, Encryption and MAC"). It spares the random walk half a
 * second per command, and being independent of the product it also pins the format from outside.
 */
import { createCipheriv, createHash, randomBytes, scryptSync } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { testPassword } from './archive-tool.ts'

export interface CheapRepositoryOptions {
  readonly version?: 1 | 2
  readonly password?: string
  /** An irreducible polynomial of degree 53. */
  readonly polynomial?: bigint
}

/** The polynomial of the chunker's own published test vectors. */
export const knownPolynomial = 0x3da3358b4dc173n

interface Keys {
  readonly encrypt: Buffer
  readonly macK: Buffer
  readonly macR: Buffer
}

export interface CheapRepository {
  /** Adds one more cheap key for the same repository and returns its id. */
  readonly addKey: (password: string) => string
}

/** Makes the directory layout, one key file and the config below `dir`, which must not exist. */
export function makeCheapRepository(dir: string, options: CheapRepositoryOptions = {}): CheapRepository {
  mkdirSync(dir)
  for (const folder of ['keys', 'locks', 'snapshots', 'index', 'data']) mkdirSync(`${dir}/${folder}`)
  for (let i = 0; i < 256; i++) mkdirSync(`${dir}/data/${i.toString(16).padStart(2, '0')}`)
  const master: Keys = { encrypt: randomBytes(32), macK: randomBytes(16), macR: clamp(randomBytes(16)) }
  writeKey(dir, options.password ?? testPassword, master)
  const config = JSON.stringify({
    version: options.version ?? 2,
    id: randomBytes(32).toString('hex'),
    chunker_polynomial: (options.polynomial ?? knownPolynomial).toString(16),
  })
  writeFileSync(`${dir}/config`, seal(master, Buffer.from(config)))
  return { addKey: (password) => writeKey(dir, password, master) }
}

function writeKey(dir: string, password: string, master: Keys): string {
  const salt = randomBytes(64)
  const [N, r, p] = [2, 1, 1]
  const derived = scryptSync(password, salt, 64, { N, r, p })
  const user: Keys = {
    encrypt: derived.subarray(0, 32),
    macK: derived.subarray(32, 48),
    macR: clamp(derived.subarray(48, 64)),
  }
  const plain = JSON.stringify({
    mac: { k: master.macK.toString('base64'), r: master.macR.toString('base64') },
    encrypt: master.encrypt.toString('base64'),
  })
  const data = seal(user, Buffer.from(plain)).toString('base64')
  const created = new Date().toISOString()
  const file = Buffer.from(
    JSON.stringify({
      created,
      username: 'test',
      hostname: 'test',
      kdf: 'scrypt',
      N,
      r,
      p,
      salt: salt.toString('base64'),
      data,
    }),
  )
  const id = createHash('sha256').update(file).digest('hex')
  writeFileSync(`${dir}/keys/${id}`, file)
  return id
}

function seal(keys: Keys, plain: Buffer): Buffer {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-ctr', keys.encrypt, iv)
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()])
  const block = createCipheriv('aes-128-ecb', keys.macK, null).setAutoPadding(false)
  const pad = Buffer.concat([block.update(iv), block.final()])
  return Buffer.concat([iv, ciphertext, poly1305(keys.macR, pad, ciphertext)])
}

/** RFC 8439 section 2.5 with the one-time key given as r and s. Slow, which does not matter here. */
function poly1305(r: Buffer, s: Buffer, message: Buffer): Buffer {
  const prime = (1n << 130n) - 5n
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    sum =
      ((sum + littleEndian(Buffer.concat([message.subarray(at, at + 16), Buffer.of(1)]))) * littleEndian(r)) %
      prime
  }
  const tag = (sum + littleEndian(s)) & ((1n << 128n) - 1n)
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse()
}

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
}

function clamp(r: Buffer): Buffer {
  const clamped = Buffer.from(r)
  for (const i of [3, 7, 11, 15]) clamped[i] = (clamped[i] ?? 0) & 15
  for (const i of [4, 8, 12]) clamped[i] = (clamped[i] ?? 0) & 252
  return clamped
}
