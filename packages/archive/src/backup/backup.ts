import { hostname, userInfo } from 'node:os'
import { resolve } from 'node:path'
import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { DEFAULT_PACK_BYTES } from '../engine/pack-builder.ts'
import { WorkerPool, workerEntry } from '../engine/worker-pool.ts'
import { formatGoTime, parseGoTime } from '../format/go-time.ts'
import type { Hex } from '../format/ids.ts'
import {
  encodeSnapshot,
  type Snapshot,
  type SnapshotSummary,
  type StoredSnapshot,
} from '../format/snapshot.ts'
import { MAX_CHUNK_BYTES } from '../kernel/kernel.ts'
import { openAccounts } from '../posix/accounts.ts'
import type { ProgressSink } from '../progress.ts'
import { type IdSet, idSetSegment, openIdSet } from '../repository/id-set.ts'
import { type IndexWriter, openIndexWriter } from '../repository/index-writer.ts'
import { findSnapshot, loadSnapshots } from '../repository/load-snapshots.ts'
import type { Repository } from '../repository/repository.ts'
import type {
  BackupAnswer,
  BackupJob,
  BackupMessage,
  BackupWorkerData,
  EntryProblem,
  FlushResult,
  ReadingRules,
  SavedCounts,
} from './backup-job.ts'
import { chooseParent } from './choose-parent.ts'
import { openSelection, type Selection } from './exclude.ts'
import { saveRoots } from './save-roots.ts'
import { createSegmentChains } from './segment-chain.ts'
import { createNodeMaker } from './stat-node.ts'
import { createTally, type EntryCounts, type TallyTotals } from './tally.ts'
import { TreeSaver } from './tree-saver.ts'
import { tryPosix } from './try-posix.ts'
import { openUploadSlots, type UploadSlots, uploadSlots } from './upload-slots.ts'

/** Bytes that come from a program instead of a file: standard input, a database dump. */
export interface StreamSource {
  /** Path in the snapshot, beginning with `/`. */
  readonly path: string
  /** Called once. When it throws, no snapshot is made: a stream cut short is not a backup. */
  open(): AsyncIterable<Uint8Array>
}

export interface BackupOptions {
  /** Files and directories, absolute or relative to the working directory. */
  readonly paths?: readonly string[]
  readonly streams?: readonly StreamSource[]
  /** Block devices and disk images, whose bytes are stored as a regular file of the same name. */
  readonly images?: readonly string[]
  readonly hostname?: string
  readonly tags?: readonly string[]
  /** Recorded in the snapshot; the selection does the excluding. */
  readonly excludes?: readonly string[]
  readonly selection?: Pick<Selection, 'oneFileSystem' | 'select'>
  /** An id or prefix; `none` reads every file again; left out, the newest that fits is taken. */
  readonly parent?: string
  readonly groupBy?: ReadonlySet<'host' | 'paths' | 'tags'>
  readonly reading?: Partial<ReadingRules>
  /** The snapshot's time in nanoseconds since 1970; now by default. */
  readonly timeNs?: bigint
  readonly programVersion?: string
  /** Reads and seals everything, stores nothing. */
  readonly dryRun?: boolean
  /** Makes no snapshot when the parent has the very same tree. */
  readonly skipIfUnchanged?: boolean
  /** False leaves out reading each blob back before it is stored. */
  readonly verify?: boolean
  readonly packBytes?: number
  readonly workers?: number
  /** Known beforehand, for the share done; the backup itself counts anew. */
  readonly totals?: () => TallyTotals | undefined
  readonly signal?: AbortSignal
}

export interface BackupResult {
  /** Undefined in a dry run, or when nothing changed and that was to be skipped. */
  readonly snapshot: StoredSnapshot | undefined
  readonly tree: Hex
  readonly parent: StoredSnapshot | undefined
  readonly summary: SnapshotSummary
  /** Entries that could not be stored: the snapshot is incomplete when there are any. */
  readonly failures: readonly EntryProblem[]
  readonly errorCount: number
  /** Entries that changed or lost an attribute while they were read. */
  readonly notes: readonly EntryProblem[]
  readonly durationMs: number
  /** Milliseconds of worker time by stage, over all workers. */
  readonly stages: Readonly<Record<string, number>>
  /** Bytes of pack files written, headers included. */
  readonly packedBytes: number
}

/** A sector: smaller chunks cost more in trees and indexes than they hold. */
const MIN_FIXED_CHUNK_BYTES = 512

const DEFAULT_RULES: ReadingRules = {
  ignoreCtime: false,
  ignoreInode: false,
  withAtime: false,
  fixedChunkBytes: 0,
  omitDeviceIds: false,
  maxFileBytes: Number.POSITIVE_INFINITY,
}

/**
 * Stores a snapshot. Everything it refers to is durable before it exists: packs, then index files,
 * then the snapshot. When it fails or is killed, no snapshot appears, and what was stored is used by
 * the next run (or pruned). The caller holds a shared lock and has loaded the index.
 */
export async function backup(
  repository: Repository,
  options: BackupOptions,
  report?: ProgressSink,
): Promise<BackupResult> {
  const started = Date.now()
  const timeNs = options.timeNs ?? BigInt(started) * 1_000_000n
  const rules = readingRules(options)
  const names = snapshotPaths(options)
  const parent = await findParent(repository, options, { paths: names, timeNs })
  const selection = options.selection ?? openSelection({})
  const tally = createTally(report, options.totals ?? (() => undefined))
  const trees = knownBlobs(repository, 'tree')
  const run = startWorkers(repository, options, rules)
  const chains = run.chains(tally.bytes)
  const nodes = createNodeMaker(rules, { posix: tryPosix(), accounts: openAccounts() }, (path, message) =>
    tally.problem({ path, fatal: false, message }),
  )
  const saver = new TreeSaver({
    repository,
    pool: run.pool,
    chains,
    nodes,
    tally,
    selection,
    knownTrees: trees,
    fixedChunkBytes: rules.fixedChunkBytes,
    signal: options.signal ?? new AbortController().signal,
  })
  try {
    const tree = await saveRoots(
      { repository, saver, chains, nodes, tally, selection, parent, rules, timeNs },
      options,
    )
    const { counts, stages } = await run.flush()
    options.signal?.throwIfAborted()
    await run.index.flush()
    const summary = summarize(tally.counts, counts, { started, timeNs, parent })
    const made = { repository, tree, parent, summary, timeNs, paths: names }
    const snapshot = await saveSnapshot(made, options)
    return {
      snapshot,
      tree,
      parent,
      summary,
      failures: tally.failures,
      errorCount: tally.counts.errors,
      notes: tally.notes,
      durationMs: Date.now() - started,
      stages,
      packedBytes: run.packedBytes(),
    }
  } catch (error) {
    await run.salvage()
    throw error
  } finally {
    await run.pool.close()
  }
}

function readingRules(options: BackupOptions): ReadingRules {
  const rules: ReadingRules = { ...DEFAULT_RULES, ...options.reading }
  const { fixedChunkBytes: fixed } = rules
  if (fixed === 0 || (Number.isInteger(fixed) && fixed >= MIN_FIXED_CHUNK_BYTES && fixed <= MAX_CHUNK_BYTES))
    return rules
  throw new HoldfastError(
    'InvalidInput',
    `chunks of ${fixed} bytes were asked for; they may have ${MIN_FIXED_CHUNK_BYTES} to ${MAX_CHUNK_BYTES}`,
  )
}

/** Absolute paths under which the snapshot lists its targets, as restic does, so that parents are found. */
function snapshotPaths(options: BackupOptions): readonly string[] {
  const files = [...(options.paths ?? []), ...(options.images ?? [])].map((path) => resolve(path))
  const all = [...files, ...(options.streams ?? []).map(({ path }) => path)]
  if (all.length === 0)
    throw new HoldfastError('InvalidInput', 'there is nothing to back up: no path, stream or image was given')
  return [...new Set(all)].sort()
}

async function findParent(
  repository: Repository,
  options: BackupOptions,
  wish: { readonly paths: readonly string[]; readonly timeNs: bigint },
): Promise<StoredSnapshot | undefined> {
  // streams are read whole whatever was stored before, so a parent would only look related
  const onlyStreams = (options.paths ?? []).length === 0 && (options.images ?? []).length === 0
  if (options.parent === 'none' || onlyStreams) return undefined
  if (options.parent !== undefined) return await findSnapshot(repository, options.parent)
  const { snapshots } = await loadSnapshots(repository)
  const timed = snapshots.map((snapshot) => ({ snapshot, timeNs: parseGoTime(snapshot.time) }))
  return chooseParent(timed, {
    hostname: options.hostname ?? hostname(),
    paths: wish.paths,
    tags: options.tags ?? [],
    groupBy: options.groupBy ?? new Set(['host', 'paths']),
    beforeNs: wish.timeNs,
  })
}

/** The ids of one type already stored, with room for as many again. */
function knownBlobs(repository: Repository, type: 'data' | 'tree'): IdSet {
  const set = openIdSet([idSetSegment(repository.index.size + 262_144)])
  const id = Buffer.alloc(32)
  repository.index.eachId(type, (bytes) => {
    id.set(bytes)
    set.add(id)
  })
  return set
}

interface BackupRun {
  readonly pool: WorkerPool<BackupJob, BackupAnswer>
  readonly index: IndexWriter
  chains(onBytes: (count: number) => void): ReturnType<typeof createSegmentChains>
  /** Ends all packs; resolves when they are durable and their index entries are gathered. */
  flush(): Promise<FlushResult>
  /** After a failure: indexes the packs that are durable, if that is still possible. */
  salvage(): Promise<void>
  packedBytes(): number
}

function startWorkers(repository: Repository, options: BackupOptions, rules: ReadingRules): BackupRun {
  const { store } = repository
  const known = knownBlobs(repository, 'data')
  const uploads = openUploadSlots(uploadSlots(Math.max(2, store.connections)))
  const index = openIndexWriter(repository)
  const storing = new Set<Promise<void>>()
  let chains: ReturnType<typeof createSegmentChains> | undefined
  let packedBytes = 0
  let failure: unknown

  const track = (work: Promise<void>): void => {
    const job = work.catch((error: unknown) => {
      failure ??= error
    })
    storing.add(job)
    void job.finally(() => storing.delete(job))
  }
  const settle = async (limit: number): Promise<void> => {
    while (storing.size > limit) await Promise.race(storing)
    if (failure !== undefined) throw failure
  }
  const onMessage = (message: BackupMessage): void => {
    if (message.kind === 'next') {
      chains?.next(message)
      if (known.wantsSegment()) addRoom(known, pool)
      return
    }
    packedBytes += message.kind === 'stored' ? message.bytes : message.length
    if (message.kind === 'stored') track(index.add(message.entry, message.blobs))
    else
      track(upload(store, message, uploads).then(async () => await index.add(message.entry, message.blobs)))
  }
  const pool: BackupRun['pool'] = new WorkerPool<BackupJob, BackupAnswer>({
    entry: workerEntry(import.meta.url, 'backup-worker'),
    workerData: workerDataFor(repository, options, { rules, known, uploads }),
    onMessage: (message) => onMessage(message as BackupMessage),
    // packs on their way to a slow store hold the workers back, or memory would fill with them
    admit: async () => {
      if (known.wantsSegment()) addRoom(known, pool)
      await settle(Math.max(2, store.connections))
    },
    ...(options.workers === undefined ? {} : { size: options.workers }),
  })
  return {
    pool,
    index,
    packedBytes: () => packedBytes,
    chains: (onBytes) => (chains ??= createSegmentChains(pool, { onBytes, signal: options.signal })),
    async flush() {
      const results = (await pool.runOnStarted({ kind: 'flush' })) as FlushResult[]
      await settle(0)
      return sumUpResults(results)
    },
    async salvage() {
      // once the lock is lost, another process may already have removed packs that no index names
      if (options.dryRun === true || isHoldfastError(options.signal?.reason, 'LockLost')) return
      // one pack that could not be stored is no reason to forget those that were
      while (storing.size > 0) await Promise.race(storing)
      await index.flush().catch(() => undefined)
    },
  }
}

async function upload(
  store: Repository['store'],
  message: Extract<BackupMessage, { kind: 'upload' }>,
  slots: UploadSlots,
): Promise<void> {
  try {
    await store.save({ type: 'pack', id: message.id }, new Uint8Array(message.memory, 0, message.length))
  } finally {
    slots.leave()
  }
}

function addRoom(known: IdSet, pool: WorkerPool<BackupJob, BackupAnswer>): void {
  const ids = known.segments.reduce((sum, segment) => sum + segment.byteLength / 48, 0)
  const segment = idSetSegment(Math.ceil(ids))
  known.addSegment(segment)
  pool.broadcast(segment)
}

function workerDataFor(
  repository: Repository,
  options: BackupOptions,
  shared: { readonly rules: ReadingRules; readonly known: IdSet; readonly uploads: UploadSlots },
): BackupWorkerData {
  const { config, masterKey, compressionLevel, store, primitives } = repository
  return {
    polynomial: config.chunkerPolynomial,
    masterKey,
    portable: primitives.kind === 'portable',
    compressionLevel,
    version: config.version,
    verify: options.verify !== false,
    packBytes: options.packBytes ?? DEFAULT_PACK_BYTES,
    localDirectory: store.localDirectory,
    dryRun: options.dryRun === true,
    knownBlobs: shared.known.segments,
    uploadSlots: shared.uploads.memory,
    reading: shared.rules,
  }
}

const NOTHING_SAVED: SavedCounts = {
  dataBlobs: 0,
  treeBlobs: 0,
  dataAdded: 0,
  dataAddedPacked: 0,
  treeAdded: 0,
  treeAddedPacked: 0,
}

function sumUpResults(results: readonly FlushResult[]): FlushResult {
  return {
    counts: sumUp(
      results.map((r) => r.counts),
      NOTHING_SAVED,
    ),
    stages: sumUp(
      results.map((r) => r.stages),
      {},
    ),
  }
}

function sumUp<T extends SavedCounts | Readonly<Record<string, number>>>(parts: readonly T[], zero: T): T {
  const sum: Record<string, number> = { ...zero }
  for (const part of parts)
    for (const [key, value] of Object.entries(part)) sum[key] = (sum[key] ?? 0) + (value as number)
  return sum as T
}

function summarize(
  entries: EntryCounts,
  saved: SavedCounts,
  run: { readonly started: number; readonly timeNs: bigint; readonly parent: StoredSnapshot | undefined },
): SnapshotSummary {
  return {
    backupStart: formatGoTime(BigInt(run.started) * 1_000_000n),
    backupEnd: formatGoTime(BigInt(Date.now()) * 1_000_000n),
    filesNew: entries.filesNew,
    filesChanged: entries.filesModified,
    filesUnmodified: entries.filesUnchanged,
    dirsNew: entries.dirsNew,
    dirsChanged: entries.dirsModified,
    dirsUnmodified: entries.dirsUnchanged,
    dataBlobs: saved.dataBlobs,
    treeBlobs: saved.treeBlobs,
    dataAdded: saved.dataAdded + saved.treeAdded,
    dataAddedPacked: saved.dataAddedPacked + saved.treeAddedPacked,
    totalFilesProcessed: entries.filesNew + entries.filesModified + entries.filesUnchanged,
    totalBytesProcessed: entries.bytes,
  }
}

async function saveSnapshot(
  made: {
    readonly repository: Repository
    readonly tree: Hex
    readonly parent: StoredSnapshot | undefined
    readonly summary: SnapshotSummary
    readonly timeNs: bigint
    readonly paths: readonly string[]
  },
  options: BackupOptions,
): Promise<StoredSnapshot | undefined> {
  const { repository, tree, parent, summary } = made
  if (options.dryRun === true) return undefined
  if (options.skipIfUnchanged === true && parent?.tree === tree) return undefined
  options.signal?.throwIfAborted()
  const user = userInfo()
  const snapshot: Snapshot = {
    time: formatGoTime(made.timeNs),
    ...(parent === undefined ? {} : { parent: parent.id }),
    tree,
    paths: made.paths,
    hostname: options.hostname ?? hostname(),
    username: user.username,
    uid: user.uid,
    gid: user.gid,
    excludes: options.excludes ?? [],
    tags: options.tags ?? [],
    programVersion: options.programVersion ?? 'holdfast',
    summary,
  }
  const id = await repository.saveUnpacked('snapshot', encodeSnapshot(snapshot))
  return { ...snapshot, id }
}
