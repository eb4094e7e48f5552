import { encodeUnknownJson, goJsonString } from './go-json.ts'
import { GO_ZERO_TIME, isGoTime } from './go-time.ts'
import type { Hex } from './ids.ts'
import {
  type At,
  isObject,
  type JsonObject,
  mismatch,
  parseJsonObject,
  readExtra,
  readHex,
  readOptionalInteger,
  readOptionalString,
  readStrings,
  SAFE_UNSIGNED,
  U32,
} from './json-document.ts'

/** What a backup did, as restic 0.17 and later store it in the snapshot. */
export interface SnapshotSummary {
  readonly backupStart: string
  readonly backupEnd: string
  readonly filesNew: number
  readonly filesChanged: number
  readonly filesUnmodified: number
  readonly dirsNew: number
  readonly dirsChanged: number
  readonly dirsUnmodified: number
  readonly dataBlobs: number
  readonly treeBlobs: number
  readonly dataAdded: number
  readonly dataAddedPacked: number
  readonly totalFilesProcessed: number
  readonly totalBytesProcessed: number
}

export interface Snapshot {
  /** RFC 3339 text exactly as stored; see `parseGoTime`. */
  readonly time: string
  readonly parent?: Hex
  readonly tree: Hex
  readonly paths: readonly string[]
  readonly hostname: string
  readonly username: string
  readonly uid: number
  readonly gid: number
  readonly excludes: readonly string[]
  readonly tags: readonly string[]
  /** The id of the snapshot this one was first made as, before tags or a copy changed it. */
  readonly original?: Hex
  readonly programVersion?: string
  readonly summary?: SnapshotSummary
  readonly description?: string
  /** Members this version does not know; kept on encoding. */
  readonly extra?: JsonObject
}

export interface StoredSnapshot extends Snapshot {
  readonly id: Hex
}

/** A snapshot as restic writes it, byte for byte; an `id` that a stored one carries is not written. */
export function encodeSnapshot(s: Snapshot): Buffer {
  const text =
    `{"time":${goJsonString(s.time)}` +
    optionalText(',"parent":', s.parent) +
    `,"tree":"${s.tree}","paths":${encodeStrings(s.paths)}` +
    optionalText(',"hostname":', s.hostname) +
    optionalText(',"username":', s.username) +
    (s.uid === 0 ? '' : `,"uid":${s.uid}`) +
    (s.gid === 0 ? '' : `,"gid":${s.gid}`) +
    (s.excludes.length === 0 ? '' : `,"excludes":${encodeStrings(s.excludes)}`) +
    (s.tags.length === 0 ? '' : `,"tags":${encodeStrings(s.tags)}`) +
    optionalText(',"original":', s.original) +
    optionalText(',"program_version":', s.programVersion) +
    (s.summary === undefined ? '' : `,"summary":${encodeSummary(s.summary)}`) +
    optionalText(',"description":', s.description) +
    encodeExtra(s.extra)
  return Buffer.from(`${text}}`, 'utf8')
}

/**
 * The snapshot in a decrypted snapshot file. `time`, `tree` and ids are checked. Throws Damaged or
 * LimitExceeded with a JSON pointer.
 */
export function decodeSnapshot(bytes: Uint8Array, place: string): Snapshot {
  const raw = parseJsonObject(bytes, place, MAX_SNAPSHOT_BYTES)
  const at: At = { place, pointer: '' }
  const description = readOptionalString(raw, 'description', at)
  const programVersion = readOptionalString(raw, 'program_version', at)
  const extra = readExtra(raw, KNOWN, at)
  return {
    time: readTime(raw, 'time', at),
    ...(isAbsent(raw['parent']) ? {} : { parent: readHex(raw, 'parent', at) }),
    tree: readHex(raw, 'tree', at),
    paths: readStrings(raw, 'paths', at),
    hostname: readOptionalString(raw, 'hostname', at),
    username: readOptionalString(raw, 'username', at),
    uid: readOptionalInteger(raw, 'uid', at, U32),
    gid: readOptionalInteger(raw, 'gid', at, U32),
    excludes: readStrings(raw, 'excludes', at),
    tags: readStrings(raw, 'tags', at),
    ...(isAbsent(raw['original']) ? {} : { original: readHex(raw, 'original', at) }),
    ...(programVersion === '' ? {} : { programVersion }),
    ...(isAbsent(raw['summary']) ? {} : { summary: readSummary(raw['summary'], at) }),
    ...(description === '' ? {} : { description }),
    ...(extra === undefined ? {} : { extra }),
  }
}

const MAX_SNAPSHOT_BYTES = 16 * 1024 * 1024

const KNOWN = new Set([
  'time',
  'parent',
  'tree',
  'paths',
  'hostname',
  'username',
  'uid',
  'gid',
  'excludes',
  'tags',
  'original',
  'program_version',
  'summary',
  'description',
])

function optionalText(prefix: string, value: string | undefined): string {
  return value === undefined || value === '' ? '' : prefix + goJsonString(value)
}

function encodeStrings(list: readonly string[]): string {
  return `[${list.map(goJsonString).join(',')}]`
}

function encodeSummary(s: SnapshotSummary): string {
  return (
    `{"backup_start":${goJsonString(s.backupStart)},"backup_end":${goJsonString(s.backupEnd)}` +
    `,"files_new":${s.filesNew},"files_changed":${s.filesChanged},"files_unmodified":${s.filesUnmodified}` +
    `,"dirs_new":${s.dirsNew},"dirs_changed":${s.dirsChanged},"dirs_unmodified":${s.dirsUnmodified}` +
    `,"data_blobs":${s.dataBlobs},"tree_blobs":${s.treeBlobs}` +
    `,"data_added":${s.dataAdded},"data_added_packed":${s.dataAddedPacked}` +
    `,"total_files_processed":${s.totalFilesProcessed},"total_bytes_processed":${s.totalBytesProcessed}}`
  )
}

function encodeExtra(extra: JsonObject | undefined): string {
  if (extra === undefined) return ''
  return Object.entries(extra)
    .map(([key, value]) => `,${goJsonString(key)}:${encodeUnknownJson(value)}`)
    .join('')
}

function readSummary(value: unknown, at: At): SnapshotSummary {
  if (!isObject(value)) throw mismatch(value, 'a summary object', at, 'summary')
  const inside: At = { place: at.place, pointer: `${at.pointer}/summary` }
  const count = (key: string): number => readOptionalInteger(value, key, inside, SAFE_UNSIGNED)
  return {
    backupStart: readTime(value, 'backup_start', inside),
    backupEnd: readTime(value, 'backup_end', inside),
    filesNew: count('files_new'),
    filesChanged: count('files_changed'),
    filesUnmodified: count('files_unmodified'),
    dirsNew: count('dirs_new'),
    dirsChanged: count('dirs_changed'),
    dirsUnmodified: count('dirs_unmodified'),
    dataBlobs: count('data_blobs'),
    treeBlobs: count('tree_blobs'),
    dataAdded: count('data_added'),
    dataAddedPacked: count('data_added_packed'),
    totalFilesProcessed: count('total_files_processed'),
    totalBytesProcessed: count('total_bytes_processed'),
  }
}

function readTime(raw: JsonObject, key: string, at: At): string {
  const value = raw[key]
  if (isAbsent(value)) return GO_ZERO_TIME
  if (typeof value !== 'string' || !isGoTime(value)) throw mismatch(value, 'an RFC 3339 time', at, key)
  return value
}

function isAbsent(value: unknown): value is undefined | null {
  return value === undefined || value === null
}
