import { HoldfastError } from '@holdfast/contract'
import { parseGoTime } from '../format/go-time.ts'
import type { Hex } from '../format/ids.ts'
import type { BlobType, PackedBlob } from '../format/pack-header.ts'
import { encodeSnapshot, type StoredSnapshot } from '../format/snapshot.ts'
import type { ProgressSink } from '../progress.ts'
import { type BlobWriter, openBlobWriter } from '../repository/blob-writer.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openBlob, type Repository } from '../repository/repository.ts'
import { type BitSet, createBitSet } from './bit-set.ts'
import { type BlobNumbers, numberBlobs } from './blob-numbers.ts'
import { readPackBlobs } from './read-pack-blobs.ts'
import { type Selection, selectSnapshots } from './select-snapshots.ts'
import { openTreeReader, type TreeReader } from './tree-reader.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'
import { walkTrees } from './walk-trees.ts'

export interface CopyOptions extends Selection, LockedOptions {
  readonly from: Repository
  /** Locks the source unless the caller says otherwise; `none` for a source that cannot be written to. */
  readonly fromLock?: LockedOptions['lock']
  readonly packBytes?: number
}

export interface CopyResult {
  readonly copied: readonly { readonly sourceId: Hex; readonly newId: Hex }[]
  readonly skipped: readonly { readonly sourceId: Hex; readonly existingId: Hex }[]
  readonly blobs: number
  /** Plain bytes. */
  readonly bytes: number
}

/** Snapshots are copied together until this much is pending, so that small ones do not make small packs. */
const batchBytes = 128 * 1024 * 1024

/**
 * Copies snapshots from another repository into `repo`, with the data that is not there yet, under shared locks on
 * both. Each blob is verified with the source's key and sealed anew. A snapshot that was copied before (its
 * `original` and all else but the parent agree) is skipped. Data, then index, then snapshots: interrupted, it
 * leaves unused data at worst, and running it again goes on. Chunks are not cut anew: the two repositories
 * deduplicate against each other only if they share the chunker polynomial.
 *
 * Errors: Damaged or NotFound when something of a snapshot cannot be read; snapshots before it are copied then.
 */
export async function copySnapshots(
  repo: Repository,
  options: CopyOptions,
  report?: ProgressSink,
): Promise<CopyResult> {
  const { from } = options
  const fromLock: LockedOptions = options.fromLock === undefined ? {} : { lock: options.fromLock }
  const stop = options.signal === undefined ? {} : { signal: options.signal }
  return await underLock(from, 'shared', { ...fromLock, ...stop }, async (sourceSignal) => {
    const joined = sourceSignal === undefined ? {} : { signal: sourceSignal }
    const lock = options.lock === undefined ? {} : { lock: options.lock }
    return await underLock(repo, 'shared', { ...lock, ...joined }, async (signal) => {
      return await copyUnderLocks(repo, options, { signal, report })
    })
  })
}

interface Steps {
  readonly signal: AbortSignal | undefined
  readonly report: ProgressSink | undefined
}

async function copyUnderLocks(repo: Repository, options: CopyOptions, steps: Steps): Promise<CopyResult> {
  const { from } = options
  const { snapshots } = await selectSnapshots(from, options)
  const present = byOriginal((await loadSnapshots(repo)).snapshots)
  await repo.loadIndex()
  const numbers = numberBlobs(await from.loadIndex())
  const copier: Copier = {
    from,
    to: repo,
    numbers,
    reader: openTreeReader(from),
    writer: openBlobWriter(repo, options.packBytes === undefined ? {} : { packBytes: options.packBytes }),
    seen: createBitSet(numbers.count),
    pending: new Map(),
    pendingBytes: 0,
    totals: { blobs: 0, bytes: 0 },
    steps,
  }
  const copied: { readonly sourceId: Hex; readonly newId: Hex }[] = []
  const skipped: { readonly sourceId: Hex; readonly existingId: Hex }[] = []
  let batch: StoredSnapshot[] = []
  const saveBatch = async (): Promise<void> => {
    await copyPending(copier)
    for (const snapshot of batch) {
      throwIfStopped(steps.signal)
      const { id, parent: _parent, ...members } = snapshot
      const newId = await repo.saveUnpacked(
        'snapshot',
        encodeSnapshot({ ...members, original: members.original ?? id }),
      )
      copied.push({ sourceId: id, newId })
      steps.report?.({ kind: 'item', action: 'new', path: `snapshot/${newId}`, bytes: 0 })
    }
    batch = []
  }
  for (const snapshot of snapshots) {
    throwIfStopped(steps.signal)
    const existing = present
      .get(snapshot.original ?? snapshot.id)
      ?.find((candidate) => isSameSnapshot(candidate, snapshot))
    if (existing !== undefined) {
      skipped.push({ sourceId: snapshot.id, existingId: existing.id })
      continue
    }
    await collect(copier, snapshot)
    batch.push(snapshot)
    if (copier.pendingBytes >= batchBytes) {
      await saveBatch()
    }
  }
  await saveBatch()
  return { copied, skipped, ...copier.totals }
}

/** True when two snapshots say the same, whatever their parent, original and program version are. Pure. */
export function isSameSnapshot(a: StoredSnapshot, b: StoredSnapshot): boolean {
  const equalSets = (x: readonly string[], y: readonly string[]): boolean =>
    x.length === y.length && y.every((item) => x.includes(item))
  return (
    parseGoTime(a.time) === parseGoTime(b.time) &&
    a.tree === b.tree &&
    a.hostname === b.hostname &&
    a.username === b.username &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    equalSets(a.paths, b.paths) &&
    equalSets(a.tags, b.tags) &&
    a.excludes.length === b.excludes.length &&
    a.excludes.every((pattern, i) => pattern === b.excludes[i])
  )
}

function byOriginal(snapshots: readonly StoredSnapshot[]): ReadonlyMap<Hex, readonly StoredSnapshot[]> {
  const found = new Map<Hex, StoredSnapshot[]>()
  const add = (id: Hex, snapshot: StoredSnapshot): void => {
    found.set(id, [...(found.get(id) ?? []), snapshot])
  }
  for (const snapshot of snapshots) {
    if (snapshot.original !== undefined) {
      add(snapshot.original, snapshot)
    }
    add(snapshot.id, snapshot)
  }
  return found
}

interface Copier {
  readonly from: Repository
  readonly to: Repository
  readonly numbers: BlobNumbers
  readonly reader: TreeReader
  readonly writer: BlobWriter
  /** Trees walked and blobs taken, by number in the source. */
  readonly seen: BitSet
  readonly pending: Map<Hex, PackedBlob[]>
  pendingBytes: number
  readonly totals: { blobs: number; bytes: number }
  readonly steps: Steps
}

/** Walks the trees of a snapshot that no earlier one had, and notes which blobs to copy. */
async function collect(copier: Copier, snapshot: StoredSnapshot): Promise<void> {
  await walkTrees({
    roots: [{ id: snapshot.tree, path: `snapshot ${snapshot.id.slice(0, 8)}:/` }],
    reader: copier.reader,
    concurrency: Math.max(4, copier.from.store.connections),
    signal: copier.steps.signal,
    enter: (id, path) => take(copier, 'tree', id, path),
    onTree(_id, nodes, path) {
      for (const node of nodes) {
        for (const id of node.content ?? []) {
          take(copier, 'data', id, `${path}${path.endsWith('/') ? '' : '/'}${node.name}`)
        }
      }
    },
    onError(id, error, path) {
      throw new HoldfastError(
        'Damaged',
        `a directory of the source cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        {
          place: `${path}, tree ${id}`,
          guidance:
            'Check the source repository; repair snapshots makes what is left of the snapshot copyable.',
          cause: error,
        },
      )
    },
  })
}

/** True when the blob was met for the first time. */
function take(copier: Copier, type: BlobType, id: Hex, path: string): boolean {
  const [location] = copier.from.index.find(type, id)
  if (location === undefined) {
    throw new HoldfastError('NotFound', `the source has no ${type} blob ${id} in any index`, {
      place: path,
      guidance: 'Run repair index on the source; if it stays missing, repair snapshots.',
    })
  }
  if (!copier.seen.add(copier.numbers.of(type, id))) {
    return false
  }
  if (!copier.to.index.has(type, id)) {
    const { packId, offset, length, uncompressedLength } = location
    const blobs = copier.pending.get(packId) ?? []
    blobs.push({ type, id, offset, length, uncompressedLength })
    copier.pending.set(packId, blobs)
    copier.pendingBytes += length
  }
  return true
}

async function copyPending(copier: Copier): Promise<void> {
  const { from, writer, totals, steps } = copier
  let unitsDone = 0
  for (const [packId, blobs] of copier.pending) {
    throwIfStopped(steps.signal)
    for await (const read of readPackBlobs(from.store, packId, blobs)) {
      const { type, id, offset, uncompressedLength } = read.blob
      const place = `pack/${packId} at offset ${offset}, ${type} blob ${id}`
      const plain =
        'sealed' in read ? tryOpen(from, read.sealed, { id, place, uncompressedLength }) : undefined
      // A damaged copy is passed over for another one, if the source has one.
      const good = plain ?? (await from.loadBlob(type, id))
      await writer.save(type, id, good)
      totals.blobs += 1
      totals.bytes += good.length
    }
    unitsDone += 1
    steps.report?.({
      kind: 'status',
      phase: 'copying packs',
      filesDone: 0,
      bytesDone: totals.bytes,
      unitsDone,
      unitsTotal: copier.pending.size,
    })
  }
  copier.pending.clear()
  copier.pendingBytes = 0
  await writer.flush()
}

function tryOpen(
  from: Repository,
  sealed: Uint8Array,
  blob: { readonly id: Hex; readonly place: string; readonly uncompressedLength: number },
): Buffer | undefined {
  try {
    return openBlob(from, sealed, blob)
  } catch {
    return undefined
  }
}
