import { createHash } from 'node:crypto'
import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { BlobType } from '../format/pack-header.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import type { TreeNode } from '../format/tree.ts'
import type { ProgressSink } from '../progress.ts'
import { idSetSegment, openIdSet } from '../repository/id-set.ts'
import type { Repository } from '../repository/repository.ts'
import { treesAhead, walkTree } from './walk-tree.ts'

/**
 * - `restore-size`: what restoring would write; hard links once per snapshot.
 * - `files-by-contents`: files with equal content once.
 * - `blobs-per-file`: of those, the blobs, each once per path.
 * - `raw-data`: what the blobs take in the repository, each once.
 */
export type StatsMode = 'restore-size' | 'files-by-contents' | 'blobs-per-file' | 'raw-data'

export interface StatsOptions {
  readonly snapshots: readonly StoredSnapshot[]
  readonly mode: StatsMode
  readonly signal?: AbortSignal
}

/** Sizes in bytes. What a mode does not count is 0. */
export interface StatsResult {
  readonly snapshotsCount: number
  readonly totalSize: number
  /** restic counts every entry in mode restore-size, directories too. */
  readonly totalFileCount: number
  readonly totalBlobCount: number
  readonly totalUncompressedSize: number
  /** Plain over stored, of compressed blobs. */
  readonly compressionRatio: number
  /** Percent of the plain bytes that are in compressed blobs. */
  readonly compressionProgress: number
  /** Percent. */
  readonly compressionSpaceSaving: number
}

interface Counting {
  totalSize: number
  totalFileCount: number
  totalBlobCount: number
  totalUncompressedSize: number
  compressedSize: number
  compressedPlainSize: number
}

/** Takes one entry into account. */
type Count = (path: string, node: TreeNode) => void

/** Counts files or blobs of the snapshots given. Needs loadIndex. A tree that cannot be read is thrown. */
export async function stats(
  repository: Repository,
  options: StatsOptions,
  report?: ProgressSink,
): Promise<StatsResult> {
  const counting: Counting = {
    totalSize: 0,
    totalFileCount: 0,
    totalBlobCount: 0,
    totalUncompressedSize: 0,
    compressedSize: 0,
    compressedPlainSize: 0,
  }
  if (options.mode === 'raw-data') await countRawData(repository, options, counting)
  else await countFiles(repository, options, counting, report)
  return finish(counting, options.snapshots.length)
}

async function countFiles(
  repository: Repository,
  { snapshots, mode, signal }: StatsOptions,
  counting: Counting,
  report: ProgressSink | undefined,
): Promise<void> {
  const byContents =
    mode === 'files-by-contents' ? countContents(counting) : countBlobsPerFile(repository, counting)
  let done = 0
  for (const snapshot of snapshots) {
    const count = mode === 'restore-size' ? countRestoreSize(counting) : byContents
    for await (const event of walkTree(repository, snapshot.tree, treesAhead(repository))) {
      signal?.throwIfAborted()
      if (event.kind === 'failed') throw event.error
      if (event.kind === 'node') count(event.path, event.node)
    }
    report?.({
      kind: 'status',
      phase: 'stats',
      filesDone: counting.totalFileCount,
      bytesDone: counting.totalSize,
      unitsDone: ++done,
      unitsTotal: snapshots.length,
    })
  }
}

/** Anew for each snapshot: links do not reach from one into the other. */
function countRestoreSize(counting: Counting): Count {
  const seen = new Set<string>()
  return (_path, node) => {
    counting.totalFileCount++
    if (node.links !== 1 && node.type !== 'dir') {
      const key = `${node.deviceId}:${node.inode}`
      if (seen.has(key) && node.inode !== 0n) return
      seen.add(key)
    }
    counting.totalSize += node.size
  }
}

function countContents(counting: Counting): Count {
  const seen = new Set<string>()
  return (_path, node) => {
    if (!isNew(seen, contentKey(node))) return
    counting.totalSize += node.size
    counting.totalFileCount++
  }
}

function countBlobsPerFile(repository: Repository, counting: Counting): Count {
  const seenContents = new Set<string>()
  const byPath = new Map<string, Set<Hex>>()
  return (path, node) => {
    if (!isNew(seenContents, contentKey(node))) return
    for (const id of node.content ?? []) {
      let blobs = byPath.get(path)
      if (blobs === undefined) {
        blobs = new Set()
        byPath.set(path, blobs)
        counting.totalFileCount++
      }
      if (blobs.has(id)) continue
      blobs.add(id)
      counting.totalSize += repository.index.plainLength('data', id) ?? missing('data', id)
      counting.totalBlobCount++
    }
  }
}

async function countRawData(
  repository: Repository,
  options: StatsOptions,
  counting: Counting,
): Promise<void> {
  const take = uniqueBlobs(repository, (type, id) => countBlob(repository, counting, type, id))
  for (const { tree } of options.snapshots) {
    let fresh = take('tree', tree)
    if (!fresh) continue
    for await (const event of walkTree(repository, tree, { descend: () => fresh })) {
      options.signal?.throwIfAborted()
      if (event.kind === 'failed') throw event.error
      if (event.kind !== 'node') continue
      const { node } = event
      fresh = node.type === 'dir' && node.subtree !== null && take('tree', node.subtree)
      if (node.type === 'file') for (const id of node.content ?? []) take('data', id)
    }
  }
}

function uniqueBlobs(
  repository: Repository,
  count: (type: BlobType, id: Hex) => void,
): (type: BlobType, id: Hex) => boolean {
  const capacity = repository.index.size + 1
  const seen = { data: openIdSet([idSetSegment(capacity)]), tree: openIdSet([idSetSegment(capacity)]) }
  const bytes = Buffer.alloc(32)
  return (type, id) => {
    bytes.write(id, 'hex')
    const added = seen[type].add(bytes)
    if (added) count(type, id)
    return added
  }
}

function countBlob(repository: Repository, counting: Counting, type: BlobType, id: Hex): void {
  const [copy] = repository.index.find(type, id)
  if (copy === undefined) return void missing(type, id)
  counting.totalBlobCount++
  counting.totalSize += copy.length
  if (repository.config.version < 2) return
  const compressed = copy.uncompressedLength > 0
  const sealedPlain = compressed ? copy.uncompressedLength + 32 : copy.length
  counting.totalUncompressedSize += sealedPlain
  if (!compressed) return
  counting.compressedSize += copy.length
  counting.compressedPlainSize += sealedPlain
}

function missing(type: BlobType, id: Hex): never {
  throw new HoldfastError('Damaged', `${type} blob ${id} is in no index`, {
    guidance: 'Run `holdfast archive check`; `repair index` finds blobs whose index was lost.',
  })
}

function contentKey(node: TreeNode): string {
  return createHash('sha256')
    .update((node.content ?? []).join(''))
    .digest('base64')
}

function isNew(seen: Set<string>, key: string): boolean {
  if (seen.has(key)) return false
  seen.add(key)
  return true
}

function finish(counting: Counting, snapshotsCount: number): StatsResult {
  const { totalSize, totalFileCount, totalBlobCount, totalUncompressedSize } = counting
  const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole)
  return {
    snapshotsCount,
    totalSize,
    totalFileCount,
    totalBlobCount,
    totalUncompressedSize,
    compressionRatio: share(counting.compressedPlainSize, counting.compressedSize),
    compressionProgress: share(counting.compressedPlainSize, totalUncompressedSize) * 100,
    compressionSpaceSaving: totalUncompressedSize === 0 ? 0 : (1 - totalSize / totalUncompressedSize) * 100,
  }
}
