import { isUtf8 } from 'node:buffer'
import type { Hex } from './ids.ts'
import { damaged } from './json-document.ts'
import {
  accept,
  acceptText,
  expect,
  expectEnd,
  openScanner,
  peek,
  readId,
  readKey,
  readSpan,
  readU32,
  type Scanner,
  skipValue,
  spanIs,
  unexpected,
} from './json-scanner.ts'
import { type BlobType, type PackedBlob, SEAL_OVERHEAD } from './pack-header.ts'

export interface IndexPack {
  readonly id: Hex
  readonly blobs: readonly PackedBlob[]
}

export interface IndexFile {
  /** Index files that this one replaces; read, but no longer written by restic. */
  readonly supersedes: readonly Hex[]
  readonly packs: readonly IndexPack[]
}

/** A blob as `scanIndexFile` reports it. One object for all blobs: copy what is to be kept. */
export interface ScannedBlob {
  type: BlobType
  /** 32 bytes. */
  readonly id: Uint8Array
  offset: number
  length: number
  uncompressedLength: number
}

export interface IndexVisitor {
  /** A pack, before its blobs. `id` has 32 bytes and is reused. */
  pack(id: Uint8Array): void
  blob(blob: ScannedBlob): void
  /** An index file that this one replaces. `id` has 32 bytes and is reused. */
  supersedes(id: Uint8Array): void
}

/** An index as restic writes it: `supersedes` only when there are any, and a final newline. */
export function encodeIndexFile(index: IndexFile): Buffer {
  const parts: string[] = ['{']
  if (index.supersedes.length > 0) parts.push(`"supersedes":["${index.supersedes.join('","')}"],`)
  parts.push('"packs":[')
  for (const [i, pack] of index.packs.entries()) {
    parts.push(`${i === 0 ? '' : ','}{"id":"${pack.id}","blobs":[${pack.blobs.map(encodeBlob).join(',')}]}`)
  }
  parts.push(']}\n')
  return Buffer.from(parts.join(''), 'latin1')
}

/**
 * The index in a decrypted and decompressed index file, everything checked: ids, types, and that each
 * blob is long enough to be sealed and ends within 4 GiB. Throws Damaged or LimitExceeded with the
 * offset. For millions of blobs `scanIndexFile` does without the strings.
 */
export function decodeIndexFile(bytes: Uint8Array, place: string): IndexFile {
  const supersedes: Hex[] = []
  const packs: IndexPack[] = []
  let blobs: PackedBlob[] = []
  scanIndexFile(bytes, place, {
    supersedes: (id) => supersedes.push(hexOf(id)),
    pack: (id) => {
      blobs = []
      packs.push({ id: hexOf(id), blobs })
    },
    blob: (blob) => blobs.push({ ...blob, id: hexOf(blob.id) }),
  })
  return { supersedes, packs }
}

/** Reports what `decodeIndexFile` would return without allocating it; same checks, same errors. */
export function scanIndexFile(bytes: Uint8Array, place: string, visitor: IndexVisitor): void {
  if (!isUtf8(bytes)) throw damaged('the index is not UTF-8, expected JSON', place)
  const run: Run = {
    s: openScanner(bytes, place),
    visitor,
    packId: new Uint8Array(32),
    blob: { type: 'data', id: new Uint8Array(32), offset: 0, length: 0, uncompressedLength: 0 },
  }
  const { s } = run
  expect(s, OPEN_OBJECT)
  let seen = 0
  if (!accept(s, CLOSE_OBJECT)) {
    do {
      readKey(s)
      if (spanIs(s, SUPERSEDES)) seen = once(s, seen, 1, () => eachElement(s, () => readSuperseded(run)))
      else if (spanIs(s, PACKS)) seen = once(s, seen, 2, () => eachElement(s, () => readPack(run)))
      else skipValue(s)
    } while (accept(s, COMMA))
    expect(s, CLOSE_OBJECT)
  }
  expectEnd(s)
  if ((seen & 2) === 0) throw damaged('found no member "packs" in the index', `${place}#/packs`)
}

const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c
const SUPERSEDES = Buffer.from('supersedes')
const PACKS = Buffer.from('packs')
const ID = Buffer.from('id')
const BLOBS = Buffer.from('blobs')
const TYPE = Buffer.from('type')
const OFFSET = Buffer.from('offset')
const LENGTH = Buffer.from('length')
const UNCOMPRESSED = Buffer.from('uncompressed_length')
const DATA = Buffer.from('data')
const TREE = Buffer.from('tree')
const NULL = 0x6e
const MAX_PACK_BYTES = 0xffffffff

interface Run {
  readonly s: Scanner
  readonly visitor: IndexVisitor
  readonly packId: Uint8Array
  readonly blob: ScannedBlob
}

function hexOf(id: Uint8Array): Hex {
  return Buffer.from(id.buffer, id.byteOffset, 32).toString('hex')
}

function encodeBlob(blob: PackedBlob): string {
  const uncompressed =
    blob.uncompressedLength === 0 ? '' : `,"uncompressed_length":${blob.uncompressedLength}`
  return `{"id":"${blob.id}","type":"${blob.type}","offset":${blob.offset},"length":${blob.length}${uncompressed}}`
}

/** Reads a member that may come only once: two of the same name would mean different things to different readers. */
function once(s: Scanner, seen: number, bit: number, read: () => void): number {
  if ((seen & bit) !== 0) throw unexpected(s, 'each member once')
  read()
  return seen | bit
}

/** Null counts as an empty array, as Go writes one. */
function eachElement(s: Scanner, read: () => void): void {
  if (peek(s) === NULL) {
    skipValue(s)
    return
  }
  expect(s, 0x5b)
  if (accept(s, 0x5d)) return
  do read()
  while (accept(s, COMMA))
  expect(s, 0x5d)
}

function readSuperseded(run: Run): void {
  readId(run.s, run.packId)
  run.visitor.supersedes(run.packId)
}

function readPack(run: Run): void {
  const { s } = run
  expect(s, OPEN_OBJECT)
  const start = s.at
  let seen = 0
  // The blobs may come before the id of their pack: then they are passed over and read afterwards.
  let blobsAt = -1
  do {
    readKey(s)
    if (spanIs(s, ID)) seen = once(s, seen, 1, () => readId(s, run.packId))
    else if (spanIs(s, BLOBS)) {
      if ((seen & 2) !== 0) throw unexpected(s, 'each member once')
      if (seen === 1) readBlobs(run)
      else {
        blobsAt = s.at
        skipValue(s)
      }
      seen |= 2
    } else skipValue(s)
  } while (accept(s, COMMA))
  expect(s, CLOSE_OBJECT)
  if ((seen & 1) === 0) throw unexpected({ ...s, at: start }, 'a pack with an id')
  const end = s.at
  if (blobsAt >= 0) {
    s.at = blobsAt
    readBlobs(run)
  } else if ((seen & 2) === 0) run.visitor.pack(run.packId)
  s.at = end
}

function readBlobs(run: Run): void {
  run.visitor.pack(run.packId)
  eachElement(run.s, () => readBlob(run))
}

const SEEN_ID = 1
const SEEN_TYPE = 2
const SEEN_OFFSET = 4
const SEEN_LENGTH = 8
const SEEN_UNCOMPRESSED = 16
const REQUIRED = SEEN_ID | SEEN_TYPE | SEEN_OFFSET | SEEN_LENGTH

function readBlob(run: Run): void {
  const { s, blob } = run
  peek(s)
  const start = s.at
  if (!readUsualBlob(s, blob)) {
    s.at = start
    readAnyBlob(s, blob)
  }
  if (blob.length < SEAL_OVERHEAD)
    throw unexpected({ ...s, at: start }, `a length of at least ${SEAL_OVERHEAD}`)
  if (blob.offset + blob.length > MAX_PACK_BYTES)
    throw unexpected({ ...s, at: start }, 'a blob that ends within 4 GiB')
  run.visitor.blob(blob)
}

const USUAL_ID = Buffer.from('{"id":')
const USUAL_DATA = Buffer.from(',"type":"data","offset":')
const USUAL_TREE = Buffer.from(',"type":"tree","offset":')
const USUAL_LENGTH = Buffer.from(',"length":')
const USUAL_UNCOMPRESSED = Buffer.from(',"uncompressed_length":')

/** The layout that restic writes, which need not be looked at name by name. False when it is another. */
function readUsualBlob(s: Scanner, blob: ScannedBlob): boolean {
  if (!acceptText(s, USUAL_ID)) return false
  readId(s, blob.id)
  if (acceptText(s, USUAL_DATA)) blob.type = 'data'
  else if (acceptText(s, USUAL_TREE)) blob.type = 'tree'
  else return false
  blob.offset = readU32(s)
  if (!acceptText(s, USUAL_LENGTH)) return false
  blob.length = readU32(s)
  blob.uncompressedLength = acceptText(s, USUAL_UNCOMPRESSED) ? readU32(s) : 0
  return accept(s, CLOSE_OBJECT)
}

function readAnyBlob(s: Scanner, blob: ScannedBlob): void {
  const start = s.at
  expect(s, OPEN_OBJECT)
  blob.uncompressedLength = 0
  let seen = 0
  do {
    readKey(s)
    const bit = readBlobMember(s, blob)
    if ((seen & bit) !== 0) throw unexpected({ ...s, at: start }, 'each member once')
    seen |= bit
  } while (accept(s, COMMA))
  expect(s, CLOSE_OBJECT)
  if ((seen & REQUIRED) !== REQUIRED)
    throw unexpected({ ...s, at: start }, 'a blob with id, type, offset and length')
}

function readBlobMember(s: Scanner, blob: ScannedBlob): number {
  if (spanIs(s, ID)) {
    readId(s, blob.id)
    return SEEN_ID
  }
  if (spanIs(s, TYPE)) {
    blob.type = readType(s)
    return SEEN_TYPE
  }
  if (spanIs(s, OFFSET)) {
    blob.offset = readU32(s)
    return SEEN_OFFSET
  }
  if (spanIs(s, LENGTH)) {
    blob.length = readU32(s)
    return SEEN_LENGTH
  }
  if (spanIs(s, UNCOMPRESSED)) {
    blob.uncompressedLength = readU32(s)
    return SEEN_UNCOMPRESSED
  }
  skipValue(s)
  return 0
}

function readType(s: Scanner): BlobType {
  const at = s.at
  readSpan(s)
  if (spanIs(s, DATA)) return 'data'
  if (spanIs(s, TREE)) return 'tree'
  throw unexpected({ ...s, at }, '"data" or "tree"')
}
