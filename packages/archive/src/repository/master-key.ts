import { randomBytes, scrypt } from 'node:crypto'
import { hostname, userInfo } from 'node:os'
import { HoldfastError } from '@holdfast/contract'
import type { Primitives } from '../engine/primitives.ts'
import { openSealer } from '../engine/sealer.ts'
import { formatGoTime } from '../format/go-time.ts'
import { type Hex, sha256Hex } from '../format/ids.ts'
import {
  decodeKeyFile,
  decodeMasterKey,
  encodeKeyFile,
  encodeMasterKey,
  type KeyFile,
  type MasterKey,
} from '../format/key-file.ts'
import { SEAL_OVERHEAD } from '../format/pack-header.ts'
import type { BlobStore } from '../stores/blob-store.ts'

/** scrypt cost: memory is 128 * N * r bytes (32 MiB here), work N * r * p. */
export interface ScryptCost {
  readonly N: number
  readonly r: number
  readonly p: number
}

/** What restic's calibration arrives at on common machines: 32 MiB and some 0.3 s of one core. */
export const DEFAULT_SCRYPT_COST: ScryptCost = { N: 32768, r: 8, p: 5 }

/** Key files tried before giving up, as in restic. */
const MAX_KEYS_TRIED = 20

export interface FoundKey {
  readonly keyId: Hex
  readonly masterKey: MasterKey
}

/**
 * The first key file that `password` opens. A key file that is damaged is passed over while another
 * one opens, and named when none does: it must not keep the owner of a good key out.
 */
export async function findMasterKey(
  store: BlobStore,
  primitives: Primitives,
  password: string | Uint8Array,
): Promise<FoundKey> {
  const files = await Array.fromAsync(store.list('key'))
  let damaged: unknown
  for (const { id } of files.slice(0, MAX_KEYS_TRIED)) {
    try {
      const masterKey = await tryKey(await loadKeyFile(store, id), primitives, password)
      if (masterKey !== undefined) return { keyId: id, masterKey }
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code === 'StoreUnavailable') throw error
      damaged ??= error
    }
  }
  if (damaged !== undefined) throw damaged
  throw new HoldfastError(
    'WrongPassword',
    `none of the ${files.length} keys of ${store.location} opens with this password`,
    {
      place: `${store.location}: keys`,
      guidance: 'Check the password file or HOLDFAST_PASSWORD; another key may be held by someone else.',
    },
  )
}

/** Reads and parses one key file. Damaged when it does not hash to its name. */
export async function loadKeyFile(store: BlobStore, id: Hex): Promise<KeyFile> {
  const bytes = await store.load({ type: 'key', id })
  if (sha256Hex(bytes) !== id) {
    throw new HoldfastError('Damaged', `key/${id}: the content does not hash to the file's name`, {
      place: `key/${id}`,
    })
  }
  return decodeKeyFile(bytes, `key/${id}`)
}

/** Undefined when the password is not the one of this key. */
async function tryKey(
  key: KeyFile,
  primitives: Primitives,
  password: string | Uint8Array,
): Promise<MasterKey | undefined> {
  const sealer = openSealer(await deriveKey(password, key.salt, key), primitives)
  const plain = Buffer.alloc(Math.max(0, key.data.length - SEAL_OVERHEAD))
  try {
    sealer.open(key.data, plain)
  } catch {
    return undefined
  }
  return decodeMasterKey(plain, 'master key')
}

/**
 * Stores a new key file that opens `masterKey` with `password`. An empty password is refused: there
 * is no default and no unprotected repository.
 */
export async function addKeyFile(
  store: BlobStore,
  primitives: Primitives,
  key: {
    readonly masterKey: MasterKey
    readonly password: string | Uint8Array
    readonly username?: string
    readonly hostname?: string
    readonly cost?: ScryptCost
    readonly nowMs?: number
  },
): Promise<Hex> {
  if (key.password.length === 0) {
    throw new HoldfastError('InvalidInput', 'the password is empty', {
      guidance: 'Give a password; there is no default.',
    })
  }
  const cost = key.cost ?? DEFAULT_SCRYPT_COST
  const salt = randomBytes(64)
  const plain = encodeMasterKey(key.masterKey)
  const data = Buffer.alloc(plain.length + SEAL_OVERHEAD)
  openSealer(await deriveKey(key.password, salt, cost), primitives).seal(plain, data)
  const bytes = encodeKeyFile({
    created: formatGoTime(BigInt(key.nowMs ?? Date.now()) * 1_000_000n),
    username: key.username ?? userInfo().username,
    hostname: key.hostname ?? hostname(),
    kdf: 'scrypt',
    ...cost,
    salt,
    data,
  })
  const id = sha256Hex(bytes)
  await store.save({ type: 'key', id }, bytes)
  return id
}

/** A new random master key. The clamping that Poly1305 asks of `r` is done where it is used. */
export function randomMasterKey(): MasterKey {
  return { encrypt: randomBytes(32), macK: randomBytes(16), macR: clampR(randomBytes(16)) }
}

// restic stores r masked and refuses keys that are not
function clampR(r: Buffer): Buffer {
  for (const i of [3, 7, 11, 15]) r[i] = (r[i] ?? 0) & 15
  for (const i of [4, 8, 12]) r[i] = (r[i] ?? 0) & 252
  return r
}

async function deriveKey(
  password: string | Uint8Array,
  salt: Uint8Array,
  cost: ScryptCost,
): Promise<MasterKey> {
  const { N, r, p } = cost
  // OpenSSL counts slightly more than 128 N r; twice that is a bound, not an allocation
  const maxmem = 256 * r * (N + p) + (1 << 20)
  const derived = await new Promise<Buffer>((resolve, reject) => {
    scrypt(password, salt, 64, { N, r, p, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    )
  })
  return { encrypt: derived.subarray(0, 32), macK: derived.subarray(32, 48), macR: derived.subarray(48, 64) }
}
