import { isHoldfastError } from '@holdfast/contract'
import { WorkerPool, workerEntry } from '../engine/worker-pool.ts'
import type { Hex } from '../format/ids.ts'
import type { ProgressSink } from '../progress.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import { loadSnapshots, matchesFilter, type SnapshotFilter } from '../repository/load-snapshots.ts'
import type { Repository } from '../repository/repository.ts'
import { maxWholeFile } from '../stores/blob-store.ts'
import { filesystemPath } from '../stores/filesystem-path.ts'
import { type CheckJob, type CheckJobResult, type CheckWorkerData, packBlobTable } from './check-job.ts'
import {
  checkIndexes,
  checkPacks,
  checkSmallFiles,
  checkSnapshotFiles,
  checkTrees,
} from './check-structure.ts'
import { chooseSubset, type ReadData } from './check-subset.ts'
import { createFindings, type Finding, type Findings } from './findings.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'
import type { PackFault } from './verify-pack.ts'

export interface CheckOptions extends LockedOptions {
  /** Also read packs whole; none when left out. */
  readonly readData?: ReadData
  /** Follow only these snapshots. */
  readonly filter?: SnapshotFilter
  /** Threads that verify packs. */
  readonly workers?: number
  /** Numbers from 0 up to below 1, for random subsets. */
  readonly random?: () => number
}

export interface CheckResult {
  /** True when nothing is wrong; notes do not count. */
  readonly ok: boolean
  /** At most 10,000 of each; the counts are complete. */
  readonly errors: readonly Finding[]
  readonly notes: readonly Finding[]
  readonly errorCount: number
  readonly noteCount: number
  /** What repair packs should be given. */
  readonly brokenPacks: readonly Hex[]
  readonly suggestRepairIndex: boolean
  readonly suggestPrune: boolean
  readonly snapshots: number
  readonly trees: number
  readonly blobs: number
  readonly unusedBlobs: number
  readonly indexFiles: number
  readonly packs: number
  readonly packsRead: number
  readonly bytesRead: number
}

/**
 * Checks a repository, under a shared lock: config, keys, locks, snapshots and indexes open and hash to their
 * names; packs are there with the size the index gives; every tree reads, and every blob that it names is indexed.
 * With `readData` whole packs are verified too, in worker threads: the file's hash, its header against the index,
 * and each blob's MAC, compression and hash. Memory: the index, and some 20 MiB for each worker.
 *
 * Whatever is wrong is in the result, each with file and offset or path. Thrown are only RepositoryLocked,
 * Cancelled, and a store that cannot be asked.
 */
export async function check(
  repo: Repository,
  options: CheckOptions = {},
  report?: ProgressSink,
): Promise<CheckResult> {
  return await underLock(repo, 'shared', options, async (signal) => {
    const findings = createFindings(report)
    await checkSmallFiles(repo, findings)
    // Snapshots before indexes: a backup that ends meanwhile writes its index first.
    const { snapshots, damaged } = await loadSnapshots(repo)
    checkSnapshotFiles(damaged, findings)
    const { index, files: indexFiles } = await checkIndexes(repo, findings)
    const packFiles = new Map((await repo.listFiles('pack')).map(({ id, size }) => [id, size]))
    checkPacks(index, packFiles, findings)
    const followed = snapshots.filter((snapshot) => matchesFilter(snapshot, options.filter ?? {}))
    const work = { repo, index, packFiles, findings, signal, report }
    const [{ trees, unusedBlobs }, read] = await both(
      checkTrees(repo, { index, snapshots: followed, signal }, findings, report),
      options.readData === undefined
        ? Promise.resolve({ packs: 0, bytes: 0 })
        : readPacks(work, options, options.readData),
    )
    return {
      ok: findings.errorCount === 0,
      errors: findings.errors,
      notes: findings.notes,
      errorCount: findings.errorCount,
      noteCount: findings.noteCount,
      brokenPacks: [...findings.brokenPacks].toSorted(),
      ...suggestions(findings),
      snapshots: followed.length,
      trees,
      blobs: index.size,
      unusedBlobs,
      indexFiles,
      packs: packFiles.size,
      packsRead: read.packs,
      bytesRead: read.bytes,
    }
  })
}

/** Both results; when one fails, the other is waited for first, so that nothing reads on without the lock. */
async function both<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b])
  return [await a, await b]
}

function suggestions(findings: Findings): {
  readonly suggestRepairIndex: boolean
  readonly suggestPrune: boolean
} {
  const has = (list: readonly Finding[], ...kinds: readonly string[]): boolean =>
    list.some(({ kind }) => kinds.includes(kind))
  const damagedIndex = findings.errors.some(({ place }) => place.startsWith('index/'))
  return {
    suggestRepairIndex:
      damagedIndex ||
      has(findings.errors, 'bad-pack') ||
      has(findings.notes, 'incomplete-pack', 'duplicate-pack'),
    suggestPrune: has(findings.notes, 'unreferenced-pack', 'mixed-pack'),
  }
}

interface ReadWork {
  readonly repo: Repository
  readonly index: BlobIndex
  readonly packFiles: ReadonlyMap<Hex, number>
  readonly findings: Findings
  readonly signal: AbortSignal | undefined
  readonly report: ProgressSink | undefined
}

interface ReadTotals {
  packs: number
  bytes: number
}

async function readPacks(work: ReadWork, options: CheckOptions, wanted: ReadData): Promise<ReadTotals> {
  const { repo, index } = work
  const sized = [...work.packFiles].filter(([id]) => index.hasPack(id)).map(([id, size]) => ({ id, size }))
  const packs = chooseSubset(sized, wanted, options.random ?? Math.random)
  const done: ReadTotals = { packs: 0, bytes: 0 }
  const workerData: CheckWorkerData = { key: repo.masterKey, portable: repo.primitives.kind === 'portable' }
  await using pool = new WorkerPool<CheckJob, CheckJobResult>({
    entry: workerEntry(import.meta.url, 'check-worker'),
    workerData,
    ...(options.workers === undefined ? {} : { size: options.workers }),
  })
  const bytesTotal = packs.reduce((sum, { size }) => sum + size, 0)
  const verifyOne = async ({ id, size }: { readonly id: Hex; readonly size: number }): Promise<void> => {
    throwIfStopped(work.signal)
    const faults = await verifyTwice(work, pool, { id, size })
    for (const { offset, blob, message } of faults) {
      work.findings.brokenPack(id, offset, blob === undefined ? message : `blob ${blob}: ${message}`)
    }
    done.packs += 1
    done.bytes += size
    work.report?.({
      kind: 'status',
      phase: 'reading packs',
      filesDone: 0,
      bytesDone: done.bytes,
      bytesTotal,
      unitsDone: done.packs,
      unitsTotal: packs.length,
      errors: work.findings.errorCount,
    })
  }
  // Two for each thread: while one is verified the next is being read.
  const lanes = Array.from({ length: Math.min(packs.length, pool.size * 2) }, (_, lane) => lane)
  let next = 0
  await Promise.all(
    lanes.map(async () => {
      for (let pack = packs[next++]; pack !== undefined; pack = packs[next++]) {
        await verifyOne(pack)
      }
    }),
  )
  return done
}

/** A fault is looked at twice, as restic does: the second read tells damage from a passing error. */
async function verifyTwice(
  work: ReadWork,
  pool: WorkerPool<CheckJob, CheckJobResult>,
  pack: { readonly id: Hex; readonly size: number },
): Promise<readonly PackFault[]> {
  const first = await verify(work, pool, pack)
  if (first.length === 0) {
    return first
  }
  const second = await verify(work, pool, pack)
  if (second.length > 0) {
    return second
  }
  return first.map((fault) => ({
    ...fault,
    message: `${fault.message}; a second read of the pack was right`,
  }))
}

async function verify(
  work: ReadWork,
  pool: WorkerPool<CheckJob, CheckJobResult>,
  { id, size }: { readonly id: Hex; readonly size: number },
): Promise<readonly PackFault[]> {
  const { store } = work.repo
  if (size > maxWholeFile) {
    return [
      {
        offset: undefined,
        blob: undefined,
        message: `has ${size} bytes; packs over ${maxWholeFile} are not read`,
      },
    ]
  }
  const blobs = packBlobTable(work.index.packBlobs(id))
  try {
    if (store.localDirectory !== undefined) {
      const path = filesystemPath(store.localDirectory, { type: 'pack', id })
      return (await pool.run({ id, size, blobs, path, bytes: undefined }, [blobs.buffer])).faults
    }
    const loaded = await store.load({ type: 'pack', id })
    const bytes = new Uint8Array(loaded)
    return (await pool.run({ id, size, blobs, path: undefined, bytes }, [blobs.buffer, bytes.buffer])).faults
  } catch (error) {
    if (isHoldfastError(error, 'NotFound', 'Damaged')) {
      return [{ offset: undefined, blob: undefined, message: error.message }]
    }
    throw error
  }
}
