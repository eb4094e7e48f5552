import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { BlobType, PackedBlob } from '../format/pack-header.ts'
import type { ProgressSink } from '../progress.ts'
import { type BlobWriter, openBlobWriter } from '../repository/blob-writer.ts'
import { mapConcurrently } from '../repository/map-concurrently.ts'
import { openBlob, type Repository } from '../repository/repository.ts'
import { type SweptFile, sweepAbandonedFiles } from '../stores/filesystem-sweep.ts'
import { listIds, type PrunePlan } from './plan-prune.ts'
import { readPackBlobs } from './read-pack-blobs.ts'
import { rewriteIndexes } from './rewrite-indexes.ts'
import { throwIfStopped } from './under-lock.ts'

export interface PruneResult {
  readonly plan: PrunePlan
  readonly executed: boolean
  readonly writtenPacks: readonly Hex[]
  readonly writtenIndexFiles: readonly Hex[]
  /** Packs that the store would not remove; they are in no index any more, so the next prune takes them. */
  readonly notRemoved: readonly { readonly id: Hex; readonly error: HoldfastError }[]
  /** Temporary files of writers that crashed over a day ago, removed from a local repository. */
  readonly swept: readonly SweptFile[]
}

/** No upload to a directory takes this long. */
const ABANDONED_AFTER_MS = 24 * 3_600_000

/**
 * Carries a plan out. The caller has held the exclusive lock since before planning. Order: packs in no index go;
 * the blobs to keep are copied into new packs, each verified, and indexed; new index files without the old packs
 * are written; old index files go; only then old packs go. Stopped anywhere, the repository is whole, and
 * pruning again completes the work.
 *
 * Errors: Damaged when a blob to keep cannot be read in any copy (nothing it needs has been removed then);
 * StoreUnavailable when the store no longer lists what the plan was made from.
 */
export async function executePrune(
  repo: Repository,
  plan: PrunePlan,
  options: { readonly signal?: AbortSignal | undefined } = {},
  report?: ProgressSink,
): Promise<PruneResult> {
  const beforeStep = (): void => throwIfStopped(options.signal)
  await refuseChanged(repo, plan)
  const swept = await sweep(repo)
  const early = plan.recoverFreeSpace ? [...plan.unreferenced, ...plan.remove] : plan.unreferenced
  const notRemoved = await removePacks(
    repo,
    early.map(({ id }) => id),
    beforeStep,
  )
  const written = await repackBlobs(repo, plan, { beforeStep, report })
  const gone = new Set([...plan.remove, ...plan.repack].map(({ id }) => id))
  const unindex = new Set([...gone, ...plan.absent])
  const indexes =
    unindex.size === 0
      ? { written: [], removed: [] }
      : await rewriteIndexes(repo, {
          indexFiles: [...plan.basis.indexFiles, ...written.indexFiles],
          index: plan.blobs.index,
          removePacks: unindex,
          beforeStep,
        })
  const left = plan.recoverFreeSpace ? [] : await removePacks(repo, [...gone], beforeStep)
  return {
    plan,
    executed: true,
    writtenPacks: written.packs.map(({ id }) => id),
    writtenIndexFiles: indexes.written,
    notRemoved: [...notRemoved, ...left],
    swept,
  }
}

async function sweep(repo: Repository): Promise<readonly SweptFile[]> {
  const { localDirectory } = repo.store
  if (localDirectory === undefined) return []
  return await sweepAbandonedFiles(localDirectory, { now: Date.now(), olderThanMs: ABANDONED_AFTER_MS })
}

async function refuseChanged(repo: Repository, plan: PrunePlan): Promise<void> {
  const now = { snapshots: await listIds(repo, 'snapshot'), indexFiles: await listIds(repo, 'index') }
  const same = (a: readonly Hex[], b: readonly Hex[]): boolean =>
    a.length === b.length && a.toSorted().every((id, i) => id === b.toSorted()[i])
  const known = new Set(plan.basis.snapshots)
  if (now.snapshots.every((id) => known.has(id)) && same(now.indexFiles, plan.basis.indexFiles)) {
    return
  }
  throw new HoldfastError(
    'StoreUnavailable',
    'the store lists other snapshots or index files than when the plan was made, though the repository is locked',
    {
      place: repo.store.location,
      retry: 'later',
      guidance: 'Nothing was removed. The store may be slow to list what was written; run prune again.',
    },
  )
}

interface Steps {
  readonly beforeStep: () => void
  readonly report: ProgressSink | undefined
}

async function repackBlobs(
  repo: Repository,
  plan: PrunePlan,
  steps: Steps,
): Promise<Awaited<ReturnType<BlobWriter['flush']>>> {
  const { index, numbers, copy } = plan.blobs
  const writer = openBlobWriter(repo, plan.packBytes === undefined ? {} : { packBytes: plan.packBytes })
  const recompress = new Set(
    plan.repack.filter(({ reason }) => reason === 'uncompressed').map(({ id }) => id),
  )
  for (const [done, { id: packId }] of plan.repack.entries()) {
    const wanted: PackedBlob[] = []
    for (const blob of index.packBlobs(packId)) {
      const number = numbers.of(blob.type, blob.id)
      if (copy.has(number)) {
        copy.delete(number)
        wanted.push(blob)
      }
    }
    steps.beforeStep()
    await carryOver(repo, { packId, wanted, recompress: recompress.has(packId) }, writer)
    steps.report?.({
      kind: 'status',
      phase: 'repacking',
      filesDone: 0,
      bytesDone: 0,
      unitsDone: done + 1,
      unitsTotal: plan.repack.length,
    })
  }
  steps.beforeStep()
  const written = await writer.flush()
  const left = copy.count()
  if (left > 0) {
    throw new HoldfastError(
      'Internal',
      `${left} blobs that are needed were not repacked; nothing was removed`,
    )
  }
  return written
}

async function carryOver(
  repo: Repository,
  from: { readonly packId: Hex; readonly wanted: readonly PackedBlob[]; readonly recompress: boolean },
  writer: BlobWriter,
): Promise<void> {
  for await (const read of readPackBlobs(repo.store, from.packId, from.wanted)) {
    const { type, id, uncompressedLength } = read.blob
    const place = `pack/${from.packId} at offset ${read.blob.offset}, ${type} blob ${id}`
    const plain = 'error' in read ? read.error : tryOpen(repo, read.sealed, { id, place, uncompressedLength })
    if (!Buffer.isBuffer(plain)) {
      await writer.save(type, id, await loadElsewhere(repo, type, id, plain))
    } else if ('sealed' in read && !(from.recompress && uncompressedLength === 0)) {
      await writer.saveSealed(type, id, { bytes: read.sealed, uncompressedLength })
    } else {
      await writer.save(type, id, plain)
    }
  }
}

function tryOpen(
  repo: Repository,
  sealed: Uint8Array,
  blob: { readonly id: Hex; readonly place: string; readonly uncompressedLength: number },
): Buffer | HoldfastError {
  try {
    return openBlob(repo, sealed, blob)
  } catch (error) {
    if (isHoldfastError(error)) {
      return error
    }
    throw error
  }
}

async function loadElsewhere(
  repo: Repository,
  type: BlobType,
  id: Hex,
  failure: HoldfastError,
): Promise<Buffer> {
  try {
    return await repo.loadBlob(type, id)
  } catch {
    throw new HoldfastError(
      'Damaged',
      `a ${type} blob that snapshots need cannot be read: ${failure.message}`,
      {
        place: failure.place ?? `${type} blob ${id}`,
        guidance:
          'No data was removed. Run check --read-data, then repair packs for the packs it names, then prune again.',
        cause: failure,
      },
    )
  }
}

async function removePacks(
  repo: Repository,
  ids: readonly Hex[],
  beforeStep: () => void,
): Promise<readonly { readonly id: Hex; readonly error: HoldfastError }[]> {
  const failures: { readonly id: Hex; readonly error: HoldfastError }[] = []
  await mapConcurrently(ids, repo.store.connections, async (id) => {
    beforeStep()
    try {
      await repo.removeFile('pack', id)
    } catch (error) {
      if (!isHoldfastError(error)) {
        throw error
      }
      failures.push({ id, error })
    }
  })
  return failures
}
