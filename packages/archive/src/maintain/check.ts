import { isHoldfastError } from '@holdfast/contract'
import { WorkerPool, workerEntry } from '../engine/worker-pool.ts'
import type { Hex } from '../format/ids.ts'
import type { PackedBlob } from '../format/pack-header.ts'
import type { ProgressSink } from '../progress.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import { loadSnapshots, matchesFilter, type SnapshotFilter } from '../repository/load-snapshots.ts'
import { mapConcurrently } from '../repository/map-concurrently.ts'
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
import { chooseSubset, type ReadData, type SizedPack } from './check-subset.ts'
import { createFindings, type Finding, type Findings } from './findings.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'
import { createPackVerifier, type PackFault } from './verify-pack.ts'

export interface CheckOptions extends LockedOptions {
  /** Also read packs whole; none when left out. */
  readonly readData?: ReadData
  /** Follow only these snapshots. */
  readonly filter?: SnapshotFilter
  /** Threads that verify packs; 0 does it in the calling thread. */
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
  const bytesTotal = packs.reduce((sum, { size }) => sum + size, 0)
  await using verifier = openVerifier(repo, options)
  const verifyOne = async (pack: SizedPack): Promise<void> => {
    throwIfStopped(work.signal)
    for (const { offset, blob, message } of await verifyTwice(work, verifier, pack)) {
      work.findings.brokenPack(pack.id, offset, blob === undefined ? message : `blob ${blob}: ${message}`)
    }
    done.packs += 1
    done.bytes += pack.size
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
  await mapConcurrently(packs, verifier.threads * 2, verifyOne)
  return done
}

/** A fault is looked at twice, as restic does: the second read tells damage from a passing error. */
async function verifyTwice(
  work: ReadWork,
  verifier: Verifier,
  pack: SizedPack,
): Promise<readonly PackFault[]> {
  const first = await verify(work, verifier, pack)
  if (first.length === 0) {
    return first
  }
  const second = await verify(work, verifier, pack)
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
  verifier: Verifier,
  { id, size }: SizedPack,
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
  const indexed = work.index.packBlobs(id)
  try {
    if (store.localDirectory !== undefined && verifier.readsFiles) {
      const path = filesystemPath(store.localDirectory, { type: 'pack', id })
      return await verifier.verify({ id, size, indexed, path, bytes: undefined })
    }
    const bytes = await store.load({ type: 'pack', id })
    return await verifier.verify({ id, size, indexed, path: undefined, bytes })
  } catch (error) {
    if (isHoldfastError(error, 'NotFound', 'Damaged')) {
      return [{ offset: undefined, blob: undefined, message: error.message }]
    }
    throw error
  }
}

interface PackToVerify extends SizedPack {
  readonly indexed: readonly PackedBlob[]
  readonly path: string | undefined
  readonly bytes: Buffer | undefined
}

interface Verifier extends AsyncDisposable {
  readonly threads: number
  readonly readsFiles: boolean
  verify(pack: PackToVerify): Promise<readonly PackFault[]>
}

function openVerifier(repo: Repository, { workers }: CheckOptions): Verifier {
  if (workers === 0) {
    const inline = createPackVerifier(repo)
    return {
      threads: 1,
      readsFiles: false,
      verify: async ({ id, bytes, indexed }) => inline.verify(id, bytes ?? Buffer.alloc(0), indexed),
      [Symbol.asyncDispose]: async () => undefined,
    }
  }
  const workerData: CheckWorkerData = { key: repo.masterKey, portable: repo.primitives.kind === 'portable' }
  const entry = workerEntry(import.meta.url, 'check-worker')
  const size = workers === undefined ? {} : { size: workers }
  const pool = new WorkerPool<CheckJob, CheckJobResult>({ entry, workerData, ...size })
  return {
    threads: pool.size,
    readsFiles: true,
    async verify({ id, size: fileBytes, indexed, path, bytes }) {
      const blobs = packBlobTable(indexed)
      // Copied into memory of its own: what the store gave may be part of a buffer that others share.
      const own = bytes === undefined ? undefined : new Uint8Array(bytes)
      const transfer = own === undefined ? [blobs.buffer] : [blobs.buffer, own.buffer]
      return (await pool.run({ id, size: fileBytes, blobs, path, bytes: own }, transfer)).faults
    },
    [Symbol.asyncDispose]: async () => await pool.close(),
  }
}
