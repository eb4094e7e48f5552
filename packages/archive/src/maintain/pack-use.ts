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
  for (const position of numbers.packs.keys()) {
    for (const blob of numbers.blobs(position)) {
      const number = numbers.of(blob.type, blob.id)
      if (used.has(number)) {
        copies[number] = Math.min(255, (copies[number] ?? 0) + 1)
      }
    }
  }
  return copies
}

function tallyOne(
  numbers: BlobNumbers,
  position: number,
  state: { readonly copies: Uint8Array; readonly totals: Totals },
): Tally {
  const blobs = numbers.blobs(position)
  const tally: Tally = {
    usedBlobs: 0,
    usedBytes: packTailBytes(blobs),
    unusedBlobs: 0,
    unusedBytes: 0,
    duplicates: 0,
    type: undefined,
    uncompressed: false,
    plainTree: false,
  }
  for (const blob of blobs) {
    const count = state.copies[numbers.of(blob.type, blob.id)] ?? 0
    noteKind(tally, blob)
    if (count === single) {
      take(tally, blob)
      add(state.totals.used, blob, 1)
      continue
    }
    tally.unusedBlobs += 1
    tally.unusedBytes += blob.length
    tally.duplicates += count > single ? 1 : 0
    add(count > single ? state.totals.duplicate : state.totals.unused, blob, 1)
  }
  return tally
}

function noteKind(tally: Tally, blob: PackedBlob): void {
  tally.type = tally.type === undefined || tally.type === blob.type ? blob.type : 'mixed'
  if (blob.uncompressedLength === 0) {
    tally.uncompressed = true
    tally.plainTree ||= blob.type === 'tree' && blob.length - SEAL_OVERHEAD >= worthCompressing
  }
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
  for (const blob of numbers.blobs(position)) {
    const number = numbers.of(blob.type, blob.id)
    const count = copies[number] ?? single
    if (!used.has(number) || count === single) {
      continue
    }
    if (tally.usedBlobs === 0 && tally.duplicates !== tally.unusedBlobs && count !== lastCopy) {
      copies[number] = count - 1 === single ? lastCopy : count - 1
      continue
    }
    copies[number] = single
    take(tally, blob)
    tally.unusedBlobs -= 1
    tally.unusedBytes -= blob.length
    add(totals.used, blob, 1)
    add(totals.duplicate, blob, -1)
  }
}

function take(tally: Tally, blob: PackedBlob): void {
  tally.usedBlobs += 1
  tally.usedBytes += blob.length
}

function add(total: Counter, blob: PackedBlob, sign: 1 | -1): void {
  total.blobs += sign
  total.bytes += sign * blob.length
}

function packUse(id: string, tally: Tally): PackUse {
  const { usedBlobs, usedBytes, unusedBlobs, unusedBytes, uncompressed, plainTree } = tally
  return {
    id,
    type: tally.type ?? 'data',
    usedBlobs,
    usedBytes,
    unusedBlobs,
    unusedBytes,
    uncompressed,
    plainTree,
  }
}
