import type { Hex } from '../format/ids.ts'
import type { BlobType } from '../format/pack-header.ts'
import type { BlobIndex } from '../repository/blob-index.ts'

/**
 * Numbers for the stored blobs of an index, from 0 without gaps, pack by pack in the order of their offsets, so
 * that sets and tables about millions of blobs are flat arrays. Valid as long as the index is not added to.
 */
export interface BlobNumbers {
  /** Stored copies in all packs: one more than the highest number. */
  readonly count: number
  readonly packs: readonly Hex[]
  /** The number that stands for the blob: that of its first copy; -1 when the index does not know it. */
  of(type: BlobType, id: Hex): number
  /** Numbers of the blobs in the pack at `position` in `packs`: from `start(position)` to before `start(position + 1)`. */
  start(position: number): number
  /** The number that stands for the blob of which this is a copy; itself when there is only one copy. */
  first(number: number): number
  /** Sealed bytes. */
  length(number: number): number
  isTree(number: number): boolean
  isCompressed(number: number): boolean
}

const treeFlag = 1
const compressedFlag = 2

interface Columns {
  offsets: Uint32Array<ArrayBuffer>
  lengths: Uint32Array<ArrayBuffer>
  flags: Uint8Array<ArrayBuffer>
}

/** Numbers every blob of `index`: 9 bytes of memory each, 4 more where blobs are stored twice, and a map entry for each pack. */
export function numberBlobs(index: BlobIndex): BlobNumbers {
  const packs = [...index.packs()]
  const positions = new Map(packs.map((id, position) => [id, position]))
  const starts = new Uint32Array(packs.length + 1)
  const columns = emptyColumns(Math.max(1024, index.size))
  let count = 0
  for (const [position, id] of packs.entries()) {
    const blobs = index.packBlobs(id)
    makeRoom(columns, count + blobs.length)
    for (const blob of blobs) {
      columns.offsets[count] = blob.offset
      columns.lengths[count] = blob.length
      columns.flags[count] =
        (blob.type === 'tree' ? treeFlag : 0) | (blob.uncompressedLength > 0 ? compressedFlag : 0)
      count += 1
    }
    starts[position + 1] = count
  }
  const of = (type: BlobType, id: Hex): number => {
    const first = index.find(type, id)[0]
    const position = first === undefined ? undefined : positions.get(first.packId)
    if (first === undefined || position === undefined) {
      return -1
    }
    return search(columns.offsets, first.offset, starts[position] ?? 0, starts[position + 1] ?? 0)
  }
  const firsts = index.size === count ? undefined : findFirsts(index, packs, count, of)
  const flag = (number: number, wanted: number): boolean => ((columns.flags[number] ?? 0) & wanted) !== 0
  return {
    count,
    packs,
    of,
    start: (position) => starts[position] ?? count,
    first: (number) => firsts?.[number] ?? number,
    length: (number) => columns.lengths[number] ?? 0,
    isTree: (number) => flag(number, treeFlag),
    isCompressed: (number) => flag(number, compressedFlag),
  }
}

function findFirsts(
  index: BlobIndex,
  packs: readonly Hex[],
  count: number,
  of: (type: BlobType, id: Hex) => number,
): Uint32Array {
  const firsts = new Uint32Array(count)
  let number = 0
  for (const id of packs) {
    for (const blob of index.packBlobs(id)) {
      firsts[number] = of(blob.type, blob.id)
      number += 1
    }
  }
  return firsts
}

function emptyColumns(capacity: number): Columns {
  return {
    offsets: new Uint32Array(capacity),
    lengths: new Uint32Array(capacity),
    flags: new Uint8Array(capacity),
  }
}

function makeRoom(columns: Columns, length: number): void {
  if (length <= columns.offsets.length) {
    return
  }
  const larger = emptyColumns(Math.ceil(length * 1.5))
  larger.offsets.set(columns.offsets)
  larger.lengths.set(columns.lengths)
  larger.flags.set(columns.flags)
  Object.assign(columns, larger)
}

function search(sorted: Uint32Array, wanted: number, from: number, to: number): number {
  let low = from
  let high = to
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] ?? 0) < wanted) {
      low = middle + 1
    } else {
      high = middle
    }
  }
  return low < to && sorted[low] === wanted ? low : -1
}
