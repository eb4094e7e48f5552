import { HoldfastError } from '@holdfast/contract'
import { goJsonString } from './go-json.ts'
import { GO_ZERO_TIME, isGoTime } from './go-time.ts'
import {
  type At,
  damaged,
  isObject,
  type JsonObject,
  mismatch,
  parseJsonObject,
  readBase64,
  readInteger,
  readOptionalString,
  readString,
  SAFE_UNSIGNED,
} from './json-document.ts'

/** A file under `keys/`: the master key, sealed with a key that scrypt derives from a password. */
export interface KeyFile {
  readonly created: string
  readonly username: string
  readonly hostname: string
  readonly kdf: 'scrypt'
  readonly N: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  /** IV, ciphertext and MAC of an encoded MasterKey. */
  readonly data: Buffer
}

/** The keys that seal everything in a repository. */
export interface MasterKey {
  /** 32 bytes, AES-256-CTR. */
  readonly encrypt: Buffer
  /** 16 bytes, the AES key of Poly1305-AES. */
  readonly macK: Buffer
  /** 16 bytes, the `r` of Poly1305-AES. */
  readonly macR: Buffer
}

/** A key file as restic writes it, byte for byte. */
export function encodeKeyFile(key: KeyFile): Buffer {
  return Buffer.from(
    `{"created":${goJsonString(key.created)},"username":${goJsonString(key.username)}` +
      `,"hostname":${goJsonString(key.hostname)},"kdf":"scrypt","N":${key.N},"r":${key.r},"p":${key.p}` +
      `,"salt":"${key.salt.toString('base64')}","data":"${key.data.toString('base64')}"}`,
    'utf8',
  )
}

/**
 * A key file, which anybody who can write to the store may have put there: the cost of scrypt is
 * bounded before anybody runs it (N up to 2^20, r and p up to 32, 512 MiB). Throws UnsupportedFormat
 * for another kdf, LimitExceeded past the bounds, Damaged for anything malformed.
 */
export function decodeKeyFile(bytes: Uint8Array, place: string): KeyFile {
  const raw = parseJsonObject(bytes, place, MAX_KEY_BYTES)
  const at: At = { place, pointer: '' }
  checkKdf(readString(raw, 'kdf', at), place)
  const data = readBase64(raw, 'data', at)
  if (data.length < SEAL_OVERHEAD) {
    throw damaged(
      `the sealed key has ${data.length} bytes, expected more than ${SEAL_OVERHEAD}`,
      `${place}#/data`,
    )
  }
  return {
    created: readCreated(raw, at),
    username: readOptionalString(raw, 'username', at),
    hostname: readOptionalString(raw, 'hostname', at),
    kdf: 'scrypt',
    ...readCost(raw, at),
    salt: readBase64(raw, 'salt', at),
    data,
  }
}

/** The master key as restic writes it into the sealed part of a key file. */
export function encodeMasterKey(key: MasterKey): Buffer {
  return Buffer.from(
    `{"mac":{"k":"${key.macK.toString('base64')}","r":"${key.macR.toString('base64')}"}` +
      `,"encrypt":"${key.encrypt.toString('base64')}"}`,
  )
}

/** The master key in the opened part of a key file. Throws Damaged unless all keys are whole and not zero. */
export function decodeMasterKey(bytes: Uint8Array, place: string): MasterKey {
  const raw = parseJsonObject(bytes, place, MAX_KEY_BYTES)
  const at: At = { place, pointer: '' }
  const mac = raw['mac']
  if (!isObject(mac)) throw mismatch(mac, 'an object', at, 'mac')
  const inMac: At = { place, pointer: '/mac' }
  return {
    encrypt: readSecret(raw, 'encrypt', at, 32),
    macK: readSecret(mac, 'k', inMac, 16),
    macR: readSecret(mac, 'r', inMac, 16),
  }
}

const MAX_KEY_BYTES = 1024 * 1024
const SEAL_OVERHEAD = 32
const MAX_N = 2 ** 20
const MAX_R = 32
const MAX_P = 32
const MAX_SCRYPT_BYTES = 512 * 1024 * 1024

function checkKdf(kdf: string, place: string): void {
  if (kdf === 'scrypt') return
  throw new HoldfastError(
    'UnsupportedFormat',
    `found the key derivation ${JSON.stringify(kdf.slice(0, 80))}, expected "scrypt"`,
    {
      place: `${place}#/kdf`,
      retry: 'never',
    },
  )
}

function readCost(raw: JsonObject, at: At): { readonly N: number; readonly r: number; readonly p: number } {
  const N = readInteger(raw, 'N', at, SAFE_UNSIGNED)
  const r = readInteger(raw, 'r', at, SAFE_UNSIGNED)
  const p = readInteger(raw, 'p', at, SAFE_UNSIGNED)
  if (N > MAX_N || r > MAX_R || p > MAX_P || 128 * N * r > MAX_SCRYPT_BYTES) {
    const message =
      `scrypt with N=${N} r=${r} p=${p} costs too much, ` +
      `at most N=${MAX_N} r=${MAX_R} p=${MAX_P} and ${MAX_SCRYPT_BYTES} bytes of memory are accepted`
    throw new HoldfastError('LimitExceeded', message, { place: at.place, retry: 'never' })
  }
  if (N < 2 || 2 ** Math.round(Math.log2(N)) !== N) throw mismatch(N, 'a power of two above 1', at, 'N')
  if (r < 1) throw mismatch(r, 'at least 1', at, 'r')
  if (p < 1) throw mismatch(p, 'at least 1', at, 'p')
  return { N, r, p }
}

function readCreated(raw: JsonObject, at: At): string {
  const created = readOptionalString(raw, 'created', at)
  if (created === '') return GO_ZERO_TIME
  if (!isGoTime(created)) throw mismatch(created, 'an RFC 3339 time', at, 'created')
  return created
}

/** Errors here must not show what they found. */
function readSecret(raw: JsonObject, key: string, at: At, length: number): Buffer {
  const value = raw[key]
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0)
  if (bytes.length !== length || bytes.toString('base64') !== value || bytes.every((b) => b === 0)) {
    throw damaged(
      `the key is not ${length} bytes in base64 or is all zero`,
      `${at.place}#${at.pointer}/${key}`,
    )
  }
  return bytes
}
