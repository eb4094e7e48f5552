import type { Hex } from '../format/ids.ts'
import type { BlobType, PackedBlob } from '../format/pack-header.ts'
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
  /** Blobs of the pack at `position` in `packs`. */
  blobs(position: number): readonly PackedBlob[]
}

/** Numbers every blob of `index`: 4 bytes of memory each, and a map entry for each pack. */
export function numberBlobs(index: BlobIndex): BlobNumbers {
  const packs = [...index.packs()]
  const positions = new Map(packs.map((id, position) => [id, position]))
  const starts = new Uint32Array(packs.length + 1)
  let offsets = new Uint32Array(Math.max(1024, index.size))
  let count = 0
  for (const [position, id] of packs.entries()) {
    const blobs = index.packBlobs(id)
    offsets = withRoom(offsets, count + blobs.length)
    for (const blob of blobs) {
      offsets[count] = blob.offset
      count += 1
    }
    starts[position + 1] = count
  }
  return {
    count,
    packs,
    of(type, id) {
      const first = index.find(type, id)[0]
      const position = first === undefined ? undefined : positions.get(first.packId)
      if (first === undefined || position === undefined) {
        return -1
      }
      return search(offsets, first.offset, starts[position] ?? 0, starts[position + 1] ?? 0)
    },
    blobs: (position) => index.packBlobs(packs[position] ?? ''),
  }
}

function withRoom(array: Uint32Array, length: number): Uint32Array<ArrayBuffer> {
  if (length <= array.length) {
    return array as Uint32Array<ArrayBuffer>
  }
  const larger = new Uint32Array(Math.ceil(length * 1.5))
  larger.set(array)
  return larger
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
