import { HoldfastError } from '@holdfast/contract'
import { DEFAULT_PACK_BYTES } from '../engine/pack-builder.ts'
import type { Hex } from '../format/ids.ts'
import type { ProgressSink } from '../progress.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import type { Repository } from '../repository/repository.ts'
import type { ListedFile } from '../stores/blob-store.ts'
import { type BitSet, createBitSet } from './bit-set.ts'
import { type BlobNumbers, numberBlobs } from './blob-numbers.ts'
import { findUsed, type MissingBlob } from './find-used.ts'
import { type BlobTotals, tallyPacks } from './pack-use.ts'
import {
  decidePacks,
  fileBytes,
  type PackUse,
  type PlannedPack,
  type PruneRules,
  type UnusedLimit,
} from './prune-decision.ts'
import type { LockedOptions } from './under-lock.ts'

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
  /**
   * For a store without room for a new index: removes wholly unused packs first and repacks nothing. Until the
   * index has been written as well, it names packs that are gone: nothing stored is lost, but a backup that ran
   * in between would rely on them. Prune must be run to its end before the next backup.
   */
  readonly recoverFreeSpace?: boolean
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
  readonly recoverFreeSpace: boolean
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
    recoverFreeSpace: options.recoverFreeSpace ?? false,
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
    maxRepackBytes:
      options.recoverFreeSpace === true ? 0 : (options.maxRepackBytes ?? Number.POSITIVE_INFINITY),
    repackCacheableOnly: options.repackCacheableOnly ?? false,
    repackUncompressed: options.repackUncompressed ?? false,
    smallPackBytes,
    formatVersion: version,
  }
}

/** Ids of all files of a type, sorted. */
export async function listIds(repo: Repository, type: 'snapshot' | 'index'): Promise<readonly Hex[]> {
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
  const wrong = present.find((use) => use.usedBlobs > 0 && files.get(use.id) !== fileBytes(use))
  if (wrong !== undefined) {
    throw new HoldfastError(
      'Damaged',
      `the pack has ${files.get(wrong.id) ?? 0} bytes; its index says ${fileBytes(wrong)}`,
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
    const end = inPack(id) ? numbers.start(position + 1) : 0
    for (let number = numbers.start(position); number < end; number += 1) {
      visit(numbers.first(number))
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
