import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { PackedBlob } from '../format/pack-header.ts'
import type { BlobStore } from '../stores/blob-store.ts'

/** A blob as stored, or why its bytes could not be had. */
export type SealedRead =
  | { readonly blob: PackedBlob; readonly sealed: Buffer }
  | { readonly blob: PackedBlob; readonly error: HoldfastError }

const maxGapBytes = 512 * 1024
const maxRunBytes = 32 * 1024 * 1024

/**
 * Reads blobs of one pack by as few requests as sensible: neighbours share one, small gaps are read over, and no
 * request is larger than 32 MiB or one blob. Where a request fails because the pack is damaged or short, its
 * blobs are read one by one, so that every readable blob is given. Other errors of the store are thrown.
 */
export async function* readPackBlobs(
  store: BlobStore,
  packId: Hex,
  blobs: readonly PackedBlob[],
): AsyncGenerator<SealedRead, void, undefined> {
  for (const run of runsOf(blobs)) {
    const offset = run[0]?.offset ?? 0
    const end = run.reduce((furthest, blob) => Math.max(furthest, blob.offset + blob.length), 0)
    const bytes = await tryLoad(store, packId, { offset, length: end - offset })
    for (const blob of run) {
      if (Buffer.isBuffer(bytes)) {
        yield { blob, sealed: bytes.subarray(blob.offset - offset, blob.offset - offset + blob.length) }
        continue
      }
      const alone = run.length === 1 ? bytes : await tryLoad(store, packId, blob)
      yield Buffer.isBuffer(alone) ? { blob, sealed: alone } : { blob, error: alone }
    }
  }
}

/** Groups blobs, by offset, into runs that are worth one request each. */
function runsOf(blobs: readonly PackedBlob[]): readonly (readonly PackedBlob[])[] {
  const runs: PackedBlob[][] = []
  let run: PackedBlob[] = []
  let start = 0
  let end = 0
  for (const blob of blobs.toSorted((a, b) => a.offset - b.offset)) {
    const joins =
      run.length > 0 && blob.offset - end <= maxGapBytes && blob.offset + blob.length - start <= maxRunBytes
    if (!joins) {
      run = []
      runs.push(run)
      start = blob.offset
    }
    run.push(blob)
    end = joins ? Math.max(end, blob.offset + blob.length) : blob.offset + blob.length
  }
  return runs
}

async function tryLoad(
  store: BlobStore,
  packId: Hex,
  range: { readonly offset: number; readonly length: number },
): Promise<Buffer | HoldfastError> {
  try {
    return await store.load({ type: 'pack', id: packId }, { offset: range.offset, length: range.length })
  } catch (error) {
    if (isHoldfastError(error, 'Damaged', 'NotFound', 'LimitExceeded')) {
      return error
    }
    throw error
  }
}
