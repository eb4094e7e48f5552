import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { BlobType, PackedBlob } from '../format/pack-header.ts'
import type { ProgressSink } from '../progress.ts'
import { openBlobWriter } from '../repository/blob-writer.ts'
import { openBlob, type Repository } from '../repository/repository.ts'
import { readPackBlobs } from './read-pack-blobs.ts'
import { readPackHeader } from './read-pack-header.ts'
import { rewriteIndexes } from './rewrite-indexes.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'

export interface RepairPacksResult {
  readonly salvaged: number
  /** Blobs that could not be read from the pack. `elsewhere`: another pack holds a copy, so nothing is lost. */
  readonly lost: readonly {
    readonly type: BlobType
    readonly id: Hex
    readonly packId: Hex
    readonly elsewhere: boolean
    readonly error: HoldfastError
  }[]
  readonly writtenPacks: readonly Hex[]
  readonly removedPacks: readonly Hex[]
}

/**
 * Saves what can be read of damaged packs, under an exclusive lock: every blob that verifies is written into new
 * packs, those are indexed, the old packs are taken out of the index, and only then removed. What was lost is
 * listed; repair snapshots deals with the snapshots that needed it.
 * Throws NotFound for a pack that is neither indexed nor stored.
 */
export async function repairPacks(
  repo: Repository,
  packIds: readonly Hex[],
  options: LockedOptions = {},
  report?: ProgressSink,
): Promise<RepairPacksResult> {
  if (packIds.length === 0) {
    throw new HoldfastError('InvalidInput', 'no pack ids were given', {
      guidance: 'Give the ids that check --read-data names.',
    })
  }
  return await underLock(repo, 'exclusive', options, async (signal) => {
    const index = await repo.loadIndex()
    const broken = new Set(packIds)
    const writer = openBlobWriter(repo)
    const lost: RepairPacksResult['lost'][number][] = []
    let salvaged = 0
    for (const [done, packId] of [...broken].entries()) {
      throwIfStopped(signal)
      for await (const read of readPackBlobs(repo.store, packId, await blobsOf(repo, packId))) {
        const { type, id, uncompressedLength } = read.blob
        const error = 'error' in read ? read.error : whyUnreadable(repo, read.sealed, read.blob, packId)
        if (error === undefined && 'sealed' in read) {
          await writer.saveSealed(type, id, { bytes: read.sealed, uncompressedLength })
          salvaged += 1
        } else if (error !== undefined) {
          const elsewhere = index.find(type, id).some((copy) => !broken.has(copy.packId))
          lost.push({ type, id, packId, elsewhere, error })
          report?.({ kind: 'error', path: `pack/${packId}`, during: 'repair packs', message: error.message })
        }
      }
      report?.({
        kind: 'status',
        phase: 'salvaging packs',
        filesDone: 0,
        bytesDone: 0,
        unitsDone: done + 1,
        unitsTotal: broken.size,
      })
    }
    throwIfStopped(signal)
    const written = await writer.flush()
    await rewriteIndexes(repo, {
      indexFiles: [...index.indexFiles, ...written.indexFiles],
      index,
      removePacks: broken,
      beforeStep: () => throwIfStopped(signal),
    })
    for (const id of broken) {
      throwIfStopped(signal)
      await repo.removeFile('pack', id)
    }
    return { salvaged, lost, writtenPacks: written.packs.map(({ id }) => id), removedPacks: [...broken] }
  })
}

/** As the index says; for a pack in no index, as its own header says, if that can be read. */
async function blobsOf(repo: Repository, packId: Hex): Promise<readonly PackedBlob[]> {
  const indexed = repo.index.packBlobs(packId)
  if (indexed.length > 0) {
    return indexed
  }
  const { size } = await repo.store.stat({ type: 'pack', id: packId })
  try {
    return await readPackHeader(repo, packId, size)
  } catch (error) {
    if (isHoldfastError(error, 'Damaged', 'LimitExceeded')) {
      return []
    }
    throw error
  }
}

function whyUnreadable(
  repo: Repository,
  sealed: Uint8Array,
  blob: PackedBlob,
  packId: Hex,
): HoldfastError | undefined {
  const { type, id, offset, uncompressedLength } = blob
  try {
    openBlob(repo, sealed, {
      id,
      place: `pack/${packId} at offset ${offset}, ${type} blob ${id}`,
      uncompressedLength,
    })
    return undefined
  } catch (error) {
    if (isHoldfastError(error)) {
      return error
    }
    throw error
  }
}
