import { type PackedBlob, packHeaderLength, SEAL_OVERHEAD } from '../format/pack-header.ts'
import type { BitSet } from './bit-set.ts'
import type { BlobNumbers } from './blob-numbers.ts'
import type { PackUse } from './prune-decision.ts'

export interface BlobTotals {
  readonly blobs: number
  /** Sealed bytes. */
  readonly bytes: number
}

export interface PackUses {
  readonly packs: readonly PackUse[]
  readonly used: BlobTotals
  readonly unused: BlobTotals
  /** Copies of used blobs beyond the one that counts as used. */
  readonly duplicate: BlobTotals
}

/** What a header spends on a blob that is stored plain, and on one that is compressed. */
const plainEntryBytes = 37
const compressedEntryBytes = 41

/** Bytes at the end of a pack with these blobs: the sealed header and its length. */
export function packTailBytes(blobs: readonly PackedBlob[]): number {
  return packHeaderLength(blobs) + SEAL_OVERHEAD + 4
}

/** Bytes of the whole file of a pack with these blobs. */
export function packFileBytes(blobs: readonly PackedBlob[]): number {
  return blobs.reduce((bytes, blob) => bytes + blob.length, packTailBytes(blobs))
}

/**
 * Counts per pack what is used. Of a blob stored several times one copy counts as used: preferably one in a pack
 * that holds used blobs anyway, or that holds nothing but copies, as a repack that was interrupted leaves it.
 */
export function tallyPacks(numbers: BlobNumbers, used: BitSet): PackUses {
  const copies = countCopies(numbers, used)
  const totals: Totals = { used: counter(), unused: counter(), duplicate: counter() }
  const tallies = numbers.packs.map((_, position) => tallyOne(numbers, position, { copies, totals }))
  for (const [position, tally] of tallies.entries()) {
    if (tally.duplicates > 0) {
      electCopies(numbers, position, { used, copies, totals, tally })
    }
  }
  return {
    packs: tallies.map((tally, position) => packUse(numbers.packs[position] ?? '', tally)),
    used: { ...totals.used },
    unused: { ...totals.unused },
    duplicate: { ...totals.duplicate },
  }
}

/** Below this, compressing may make a blob longer, and its writer may have left it plain for that reason. */
const worthCompressing = 1024
/** What `copies` says of a blob of which one copy is elected, or which has only one. */
const single = 1
/** What `copies` says of a blob of which only one copy is left to elect. */
const lastCopy = 0

interface Tally {
  usedBlobs: number
  usedBytes: number
  unusedBlobs: number
  unusedBytes: number
  headerBytes: number
  duplicates: number
  type: PackUse['type'] | undefined
  uncompressed: boolean
  plainTree: boolean
}

interface Counter {
  blobs: number
  bytes: number
}

type Totals = Readonly<Record<'used' | 'unused' | 'duplicate', Counter>>

function counter(): Counter {
  return { blobs: 0, bytes: 0 }
}

/** Per blob number how often it is stored, at most 255; 0 for unused blobs. */
function countCopies(numbers: BlobNumbers, used: BitSet): Uint8Array {
  const copies = new Uint8Array(numbers.count)
  for (let number = 0; number < numbers.count; number += 1) {
    const first = numbers.first(number)
    if (used.has(first)) {
      copies[first] = Math.min(255, (copies[first] ?? 0) + 1)
    }
  }
  return copies
}

function tallyOne(
  numbers: BlobNumbers,
  position: number,
  state: { readonly copies: Uint8Array; readonly totals: Totals },
): Tally {
  const tally: Tally = {
    usedBlobs: 0,
    usedBytes: 0,
    unusedBlobs: 0,
    unusedBytes: 0,
    headerBytes: packTailBytes([]),
    duplicates: 0,
    type: undefined,
    uncompressed: false,
    plainTree: false,
  }
  const end = numbers.start(position + 1)
  for (let number = numbers.start(position); number < end; number += 1) {
    const count = state.copies[numbers.first(number)] ?? 0
    const length = numbers.length(number)
    noteKind(tally, numbers, number)
    if (count === single) {
      tally.usedBlobs += 1
      tally.usedBytes += length
      add(state.totals.used, length, 1)
      continue
    }
    tally.unusedBlobs += 1
    tally.unusedBytes += length
    tally.duplicates += count > single ? 1 : 0
    add(count > single ? state.totals.duplicate : state.totals.unused, length, 1)
  }
  return tally
}

function noteKind(tally: Tally, numbers: BlobNumbers, number: number): void {
  const type = numbers.isTree(number) ? 'tree' : 'data'
  tally.type = tally.type === undefined || tally.type === type ? type : 'mixed'
  if (numbers.isCompressed(number)) {
    tally.headerBytes += compressedEntryBytes
    return
  }
  tally.headerBytes += plainEntryBytes
  tally.uncompressed = true
  tally.plainTree ||= type === 'tree' && numbers.length(number) - SEAL_OVERHEAD >= worthCompressing
}

function electCopies(
  numbers: BlobNumbers,
  position: number,
  state: {
    readonly used: BitSet
    readonly copies: Uint8Array
    readonly totals: Totals
    readonly tally: Tally
  },
): void {
  const { used, copies, totals, tally } = state
  const end = numbers.start(position + 1)
  for (let number = numbers.start(position); number < end; number += 1) {
    const first = numbers.first(number)
    const count = copies[first] ?? single
    if (!used.has(first) || count === single) {
      continue
    }
    if (tally.usedBlobs === 0 && tally.duplicates !== tally.unusedBlobs && count !== lastCopy) {
      copies[first] = count - 1 === single ? lastCopy : count - 1
      continue
    }
    const length = numbers.length(number)
    copies[first] = single
    tally.usedBlobs += 1
    tally.usedBytes += length
    tally.unusedBlobs -= 1
    tally.unusedBytes -= length
    add(totals.used, length, 1)
    add(totals.duplicate, length, -1)
  }
}

function add(total: Counter, bytes: number, sign: 1 | -1): void {
  total.blobs += sign
  total.bytes += sign * bytes
}

function packUse(id: string, tally: Tally): PackUse {
  const { usedBlobs, usedBytes, unusedBlobs, unusedBytes, headerBytes, uncompressed, plainTree } = tally
  return {
    id,
    type: tally.type ?? 'data',
    usedBlobs,
    usedBytes,
    unusedBlobs,
    unusedBytes,
    headerBytes,
    uncompressed,
    plainTree,
  }
}
