import { goJsonString } from './go-json.ts'
import { isGoTime } from './go-time.ts'
import {
  type At,
  mismatch,
  parseJsonObject,
  readOptionalInteger,
  readOptionalString,
  readString,
  U32,
} from './json-document.ts'

/** A file under `locks/`. */
export interface LockFile {
  /** RFC 3339 text; when the lock was last refreshed. */
  readonly time: string
  readonly exclusive: boolean
  readonly hostname: string
  readonly username: string
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** A lock as restic writes it, byte for byte. */
export function encodeLockFile(lock: LockFile): Buffer {
  return Buffer.from(
    `{"time":${goJsonString(lock.time)},"exclusive":${lock.exclusive},"hostname":${goJsonString(lock.hostname)}` +
      `,"username":${goJsonString(lock.username)},"pid":${lock.pid}` +
      `${lock.uid === 0 ? '' : `,"uid":${lock.uid}`}${lock.gid === 0 ? '' : `,"gid":${lock.gid}`}}`,
    'utf8',
  )
}

/** The lock in a decrypted lock file. Throws Damaged or LimitExceeded with a JSON pointer. */
export function decodeLockFile(bytes: Uint8Array, place: string): LockFile {
  const raw = parseJsonObject(bytes, place, MAX_LOCK_BYTES)
  const at: At = { place, pointer: '' }
  const time = readString(raw, 'time', at)
  if (!isGoTime(time)) throw mismatch(time, 'an RFC 3339 time', at, 'time')
  const exclusive = raw['exclusive'] ?? false
  if (typeof exclusive !== 'boolean') throw mismatch(exclusive, 'true or false', at, 'exclusive')
  return {
    time,
    exclusive,
    hostname: readOptionalString(raw, 'hostname', at),
    username: readOptionalString(raw, 'username', at),
    pid: readOptionalInteger(raw, 'pid', at, SIGNED),
    uid: readOptionalInteger(raw, 'uid', at, U32),
    gid: readOptionalInteger(raw, 'gid', at, U32),
  }
}

const MAX_LOCK_BYTES = 1024 * 1024
const SIGNED = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }
