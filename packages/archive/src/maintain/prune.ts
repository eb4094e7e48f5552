import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { DEFAULT_PACK_BYTES } from '../engine/pack-builder.ts'
import type { Hex } from '../format/ids.ts'
import type { BlobType, PackedBlob } from '../format/pack-header.ts'
import type { ProgressSink } from '../progress.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import { type BlobWriter, openBlobWriter } from '../repository/blob-writer.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { mapConcurrently } from '../repository/map-concurrently.ts'
import { openBlob, type Repository } from '../repository/repository.ts'
import type { ListedFile } from '../stores/blob-store.ts'
import { type BitSet, createBitSet } from './bit-set.ts'
import { type BlobNumbers, numberBlobs } from './blob-numbers.ts'
import { findUsed, type MissingBlob } from './find-used.ts'
import { type BlobTotals, tallyPacks } from './pack-use.ts'
import {
  decidePacks,
  type PackUse,
  type PlannedPack,
  type PruneRules,
  type UnusedLimit,
} from './prune-decision.ts'
import { readPackBlobs } from './read-pack-blobs.ts'
import { rewriteIndexes } from './rewrite-indexes.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'

export interface PruneOptions extends LockedOptions {
  /** 5 percent when left out. */
  readonly maxUnused?: UnusedLimit
  readonly maxRepackBytes?: number
  readonly repackCacheableOnly?: boolean
  readonly repackUncompressed?: boolean
  /** Put packs under 80 % of the pack size together. */
  readonly repackSmall?: boolean
  /** The same with a limit in bytes. */
  readonly repackSmallerThan?: number
  readonly dryRun?: boolean
  /** Snapshots to regard as gone: lets `forget --prune --dry-run` say what would be freed. */
  readonly ignoreSnapshots?: ReadonlySet<Hex>
  /** Target size of the packs written, in bytes; 16 MiB when left out. */
  readonly packBytes?: number
}

export interface PruneTotals {
  readonly used: BlobTotals
  readonly unused: BlobTotals
  readonly duplicate: BlobTotals
  /** In packs that are removed whole. */
  readonly removed: BlobTotals
  /** In packs that are repacked, and what of that is left out. */
  readonly repacked: BlobTotals
  readonly repackedAway: BlobTotals
  /** Whole files that are in no index. */
  readonly unreferencedBytes: number
  /** All that the store gets back once the plan is executed. */
  readonly freedBytes: number
  readonly unusedBytesAfter: number
}

/** What prune would do. `copy` numbers the blobs to carry over from repacked packs. */
export interface PrunePlan {
  readonly unreferenced: readonly ListedFile[]
  readonly repack: readonly PlannedPack[]
  readonly remove: readonly PlannedPack[]
  /** Packs that an index names, that are not there, and that nobody needs: taken out of the index. */
  readonly absent: readonly Hex[]
  readonly keptPacks: number
  readonly totals: PruneTotals
  /** What the plan rests on; executing it refuses when these are no longer what the store lists. */
  readonly basis: { readonly snapshots: readonly Hex[]; readonly indexFiles: readonly Hex[] }
  readonly blobs: { readonly index: BlobIndex; readonly numbers: BlobNumbers; readonly copy: BitSet }
  readonly packBytes: number | undefined
}

export interface PruneResult {
  readonly plan: PrunePlan
  readonly executed: boolean
  readonly writtenPacks: readonly Hex[]
  readonly writtenIndexFiles: readonly Hex[]
  /** Packs that the store would not remove; they are in no index any more, so the next prune takes them. */
  readonly notRemoved: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

/**
 * Frees the space of data that no snapshot needs, under an exclusive lock: plans, then executes unless it is a
 * dry run. Errors: see `planPrune` and `executePrune`.
 */
export async function prune(
  repo: Repository,
  options: PruneOptions = {},
  report?: ProgressSink,
): Promise<PruneResult> {
  return await underLock(repo, 'exclusive', options, async (signal) => {
    const held = { ...options, lock: 'held' as const, ...(signal === undefined ? {} : { signal }) }
    const plan = await planPrune(repo, held, report)
    if (options.dryRun === true) {
      return { plan, executed: false, writtenPacks: [], writtenIndexFiles: [], notRemoved: [] }
    }
    return await executePrune(repo, plan, { signal }, report)
  })
}

/**
 * Decides what to remove and repack; changes nothing. The caller holds an exclusive lock. Reads all snapshots,
 * all indexes and every tree once; beside the index it needs some 6 bytes per blob.
 *
 * Errors: Damaged, with the list and what to do, when a snapshot, a tree or a needed pack cannot be read or
 * found, since what is needed is then unknown, or a needed pack does not have the size its index says.
 */
export async function planPrune(
  repo: Repository,
  options: PruneOptions = {},
  report?: ProgressSink,
): Promise<PrunePlan> {
  const rules = rulesOf(repo, options)
  const snapshotIds = await listIds(repo, 'snapshot')
  const { snapshots, damaged } = await loadSnapshots(repo)
  refuseUnreadSnapshots(
    snapshotIds,
    snapshots.map(({ id }) => id),
    damaged,
  )
  const index = await repo.loadIndex()
  const numbers = numberBlobs(index)
  const needed = snapshots.filter(({ id }) => options.ignoreSnapshots?.has(id) !== true)
  const { used, missing, missingCount } = await findUsed(repo, numbers, needed, {
    signal: options.signal,
    onTree: (done) =>
      report?.({ kind: 'status', phase: 'finding data in use', filesDone: 0, bytesDone: 0, unitsDone: done }),
  })
  refuseMissing(missing, missingCount)
  const uses = tallyPacks(numbers, used)
  const files = new Map((await repo.listFiles('pack')).map(({ id, size }) => [id, size]))
  const { present, absent } = matchFiles(uses.packs, files)
  const { remove, repack, kept } = decidePacks(present, rules)
  const unreferenced = [...files].filter(([id]) => !index.hasPack(id)).map(([id, size]) => ({ id, size }))
  const gone = new Set([...remove, ...repack].map(({ id }) => id))
  return {
    unreferenced,
    remove,
    repack,
    absent: absent.map(({ id }) => id),
    keptPacks: kept,
    totals: totalsOf({ uses, remove, repack, unreferenced, absent }),
    basis: { snapshots: snapshotIds, indexFiles: [...index.indexFiles] },
    blobs: {
      index,
      numbers,
      copy: blobsToCopy(numbers, used, { repack, gone: (id) => gone.has(id) || !files.has(id) }),
    },
    packBytes: options.packBytes,
  }
}

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
  const notRemoved = await removePacks(
    repo,
    plan.unreferenced.map(({ id }) => id),
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
  const left = await removePacks(repo, [...gone], beforeStep)
  return {
    plan,
    executed: true,
    writtenPacks: written.packs.map(({ id }) => id),
    writtenIndexFiles: indexes.written,
    notRemoved: [...notRemoved, ...left],
  }
}

function rulesOf(repo: Repository, options: PruneOptions): PruneRules {
  const { version } = repo.config
  if (version < 2 && options.repackUncompressed === true) {
    throw new HoldfastError('InvalidInput', 'a version 1 repository cannot hold compressed data', {
      guidance: 'Leave out --repack-uncompressed, or copy the repository into one of version 2.',
    })
  }
  const packBytes = options.packBytes ?? DEFAULT_PACK_BYTES
  const smallPackBytes =
    options.repackSmallerThan ?? (options.repackSmall === true ? packBytes * 0.8 : packBytes / 25)
  if (smallPackBytes > packBytes) {
    throw new HoldfastError(
      'InvalidInput',
      `packs under ${smallPackBytes} bytes cannot be made larger than the pack size of ${packBytes}`,
      {
        guidance: 'Give a smaller --repack-smaller-than or a larger --pack-size.',
      },
    )
  }
  return {
    maxUnused: options.maxUnused ?? { percent: 5 },
    maxRepackBytes: options.maxRepackBytes ?? Number.POSITIVE_INFINITY,
    repackCacheableOnly: options.repackCacheableOnly ?? false,
    repackUncompressed: options.repackUncompressed ?? false,
    smallPackBytes,
    formatVersion: version,
  }
}

async function listIds(repo: Repository, type: 'snapshot' | 'index'): Promise<readonly Hex[]> {
  return (await repo.listFiles(type)).map(({ id }) => id).toSorted()
}

function refuseUnreadSnapshots(
  listed: readonly Hex[],
  loaded: readonly Hex[],
  damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[],
): void {
  const known = new Set(loaded)
  const unread = listed.filter((id) => !known.has(id))
  if (unread.length === 0 && damaged.length === 0) {
    return
  }
  const names = [...new Set([...unread, ...damaged.map(({ id }) => id)])]
  throw new HoldfastError(
    'Damaged',
    `${names.length} snapshots cannot be read, so what they need is unknown: ${damaged[0]?.error.message ?? 'listed, but not there'}`,
    {
      place: names.map((id) => `snapshot/${id}`).join(', '),
      guidance:
        'Run check; forget the damaged snapshots by id if they cannot be recovered, then prune again.',
      cause: damaged[0]?.error,
    },
  )
}

function refuseMissing(missing: readonly MissingBlob[], count: number): void {
  if (count === 0) {
    return
  }
  const lines = missing
    .slice(0, 20)
    .map(({ type, id, path, reason }) => `  ${type} ${id} of ${path}: ${reason}`)
  const more = count > lines.length ? [`  and ${count - lines.length} more`] : []
  throw new HoldfastError(
    'Damaged',
    `${count} references to data cannot be followed, so nothing is removed:\n${[...lines, ...more].join('\n')}`,
    {
      place: missing[0]?.path ?? '',
      guidance:
        'Run repair index, then check. Back up again to bring missing data back, or run repair snapshots --forget to give it up; then prune again.',
    },
  )
}

/** Sorts out packs whose file is absent; refuses when a needed one is, or has another size than its index says. */
function matchFiles(
  packs: readonly PackUse[],
  files: ReadonlyMap<Hex, number>,
): { readonly present: readonly PackUse[]; readonly absent: readonly PackUse[] } {
  const absent = packs.filter(({ id }) => !files.has(id))
  const needed = absent.filter(({ usedBlobs }) => usedBlobs > 0)
  if (needed.length > 0) {
    throw new HoldfastError(
      'Damaged',
      `${needed.length} packs that snapshots need are not in the store: ${needed
        .slice(0, 20)
        .map(({ id }) => id)
        .join(', ')}`,
      {
        place: `pack/${needed[0]?.id ?? ''}`,
        guidance:
          'Bring the files back if you can. Otherwise run repair index and repair snapshots, then prune again.',
      },
    )
  }
  const present = packs.filter(({ id }) => files.has(id))
  const wrong = present.find(
    ({ id, usedBlobs, usedBytes, unusedBytes }) => usedBlobs > 0 && files.get(id) !== usedBytes + unusedBytes,
  )
  if (wrong !== undefined) {
    throw new HoldfastError(
      'Damaged',
      `the pack has ${files.get(wrong.id) ?? 0} bytes; its index says ${wrong.usedBytes + wrong.unusedBytes}`,
      {
        place: `pack/${wrong.id}`,
        guidance: 'Run repair index, then check, then prune again.',
      },
    )
  }
  return { present, absent }
}

/** Used blobs of repacked packs that no staying pack holds a copy of. */
function blobsToCopy(
  numbers: BlobNumbers,
  used: BitSet,
  fate: { readonly repack: readonly PlannedPack[]; readonly gone: (id: Hex) => boolean },
): BitSet {
  const copy = createBitSet(numbers.count)
  if (fate.repack.length === 0) {
    return copy
  }
  const repacked = new Set(fate.repack.map(({ id }) => id))
  eachBlob(
    numbers,
    (id) => repacked.has(id),
    (number) => {
      if (used.has(number)) {
        copy.add(number)
      }
    },
  )
  eachBlob(
    numbers,
    (id) => !fate.gone(id),
    (number) => copy.delete(number),
  )
  return copy
}

function eachBlob(numbers: BlobNumbers, inPack: (id: Hex) => boolean, visit: (number: number) => void): void {
  for (const [position, id] of numbers.packs.entries()) {
    if (inPack(id)) {
      for (const blob of numbers.blobs(position)) {
        visit(numbers.of(blob.type, blob.id))
      }
    }
  }
}

interface TotalsInput {
  readonly uses: { readonly used: BlobTotals; readonly unused: BlobTotals; readonly duplicate: BlobTotals }
  readonly remove: readonly PlannedPack[]
  readonly repack: readonly PlannedPack[]
  readonly unreferenced: readonly ListedFile[]
  readonly absent: readonly PackUse[]
}

function totalsOf({ uses, remove, repack, unreferenced, absent }: TotalsInput): PruneTotals {
  const count = (
    packs: readonly PlannedPack[],
    blobs: (pack: PlannedPack) => number,
    bytes: (pack: PlannedPack) => number,
  ): BlobTotals => ({
    blobs: packs.reduce((sum, pack) => sum + blobs(pack), 0),
    bytes: packs.reduce((sum, pack) => sum + bytes(pack), 0),
  })
  const removed = count(
    remove,
    (pack) => pack.unusedBlobs,
    (pack) => pack.bytes,
  )
  const repackedAway = count(
    repack,
    (pack) => pack.unusedBlobs,
    (pack) => pack.unusedBytes,
  )
  const unreferencedBytes = unreferenced.reduce((sum, { size }) => sum + size, 0)
  const absentBytes = absent.reduce((sum, pack) => sum + pack.unusedBytes, 0)
  const removedUnused = remove.reduce((sum, pack) => sum + pack.unusedBytes, 0)
  return {
    used: uses.used,
    unused: uses.unused,
    duplicate: uses.duplicate,
    removed,
    repacked: count(
      repack,
      (pack) => pack.unusedBlobs + pack.usedBlobs,
      (pack) => pack.bytes,
    ),
    repackedAway,
    unreferencedBytes,
    freedBytes: removed.bytes + repackedAway.bytes + unreferencedBytes,
    unusedBytesAfter:
      uses.unused.bytes + uses.duplicate.bytes - removedUnused - repackedAway.bytes - absentBytes,
  }
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
