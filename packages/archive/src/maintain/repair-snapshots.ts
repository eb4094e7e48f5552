import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { type Hex, sha256Hex } from '../format/ids.ts'
import { encodeSnapshot, type Snapshot, type StoredSnapshot } from '../format/snapshot.ts'
import { encodeNode, encodeTree, type TreeNode } from '../format/tree.ts'
import type { ProgressSink } from '../progress.ts'
import { type BlobWriter, openBlobWriter } from '../repository/blob-writer.ts'
import type { Repository } from '../repository/repository.ts'
import { type Selection, selectSnapshots } from './select-snapshots.ts'
import { openTreeReader, type TreeReader } from './tree-reader.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'

export interface RepairSnapshotsOptions extends Selection, LockedOptions {
  /** Remove each damaged snapshot once its repaired one is saved, and those of which nothing can be saved. */
  readonly forget?: boolean
  readonly dryRun?: boolean
}

export interface RepairedPath {
  readonly path: string
  readonly change: 'content removed' | 'size corrected' | 'directory emptied' | 'entry removed'
}

export interface RepairedSnapshot {
  readonly id: Hex
  /** Undefined when nothing can be saved because its root directory is unreadable, and on a dry run. */
  readonly newId: Hex | undefined
  readonly outcome: 'repaired' | 'nothing left'
  /** At most 10,000. */
  readonly paths: readonly RepairedPath[]
  readonly removed: boolean
}

export interface RepairSnapshotsResult {
  readonly repaired: readonly RepairedSnapshot[]
  readonly intact: number
  /** Snapshot files that cannot be read themselves; removed with `forget`. */
  readonly damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

const maxPathsListed = 10_000
const maxDepth = 4096

/**
 * Makes damaged snapshots readable again, under an exclusive lock, by giving up what cannot be read: content that
 * no index has is cut out of files, unreadable directories become empty. What remains is saved as a new snapshot
 * with `original` set, and tagged `repaired` unless the damaged one is removed. Only the index is consulted about
 * file content, so run repair index (and repair packs) first.
 *
 * Unlike restic, a snapshot of which nothing is left is removed only with `forget`.
 */
export async function repairSnapshots(
  repo: Repository,
  options: RepairSnapshotsOptions = {},
  report?: ProgressSink,
): Promise<RepairSnapshotsResult> {
  return await underLock(repo, 'exclusive', options, async (signal) => {
    await repo.loadIndex()
    const { snapshots, damaged } = await selectSnapshots(repo, options)
    const write = options.dryRun !== true
    const rewriter: Rewriter = {
      repo,
      reader: openTreeReader(repo),
      writer: openBlobWriter(repo),
      write,
      done: new Map(),
      saved: new Set(),
      signal,
    }
    const repaired: RepairedSnapshot[] = []
    for (const snapshot of snapshots) {
      throwIfStopped(signal)
      const result = await repairOne(rewriter, snapshot, options)
      if (result !== undefined) {
        repaired.push(result)
        report?.({ kind: 'item', action: 'modified', path: `snapshot/${snapshot.id}`, bytes: 0 })
      }
    }
    if (write && options.forget === true && (options.ids ?? []).length === 0) {
      for (const { id } of damaged) {
        await repo.removeFile('snapshot', id)
      }
    }
    return { repaired, intact: snapshots.length - repaired.length, damaged }
  })
}

interface Rewriter {
  readonly repo: Repository
  readonly reader: TreeReader
  readonly writer: BlobWriter
  readonly write: boolean
  /** What became of each tree: its new id, or undefined when it is unreadable. */
  readonly done: Map<Hex, { readonly id: Hex | undefined; readonly paths: readonly RepairedPath[] }>
  readonly saved: Set<Hex>
  readonly signal: AbortSignal | undefined
}

async function repairOne(
  rewriter: Rewriter,
  snapshot: StoredSnapshot,
  options: RepairSnapshotsOptions,
): Promise<RepairedSnapshot | undefined> {
  const { repo, writer, write } = rewriter
  const paths: RepairedPath[] = []
  const tree = await rewriteTree(rewriter, { id: snapshot.tree, path: '/', depth: 0 }, paths)
  if (tree === snapshot.tree) {
    return undefined
  }
  const remove = write && options.forget === true
  if (tree === undefined) {
    if (remove) {
      await repo.removeFile('snapshot', snapshot.id)
    }
    return { id: snapshot.id, newId: undefined, outcome: 'nothing left', paths, removed: remove }
  }
  let newId: Hex | undefined
  if (write) {
    await writer.flush()
    newId = await repo.saveUnpacked('snapshot', encodeSnapshot(renewed(snapshot, tree, remove)))
  }
  if (remove) {
    await repo.removeFile('snapshot', snapshot.id)
  }
  return { id: snapshot.id, newId, outcome: 'repaired', paths, removed: remove }
}

function renewed(snapshot: StoredSnapshot, tree: Hex, replaces: boolean): Snapshot {
  const { id, ...members } = snapshot
  const marked = replaces || members.tags.includes('repaired') ? members.tags : [...members.tags, 'repaired']
  return { ...members, tree, original: id, tags: marked }
}

interface Place {
  readonly id: Hex
  readonly path: string
  readonly depth: number
}

/** The id of the repaired tree, the same id when it is intact, undefined when it cannot be read. */
async function rewriteTree(
  rewriter: Rewriter,
  place: Place,
  paths: RepairedPath[],
): Promise<Hex | undefined> {
  const before = rewriter.done.get(place.id)
  if (before !== undefined) {
    for (const { path, change } of before.paths) {
      note(paths, joined(place.path, path), change)
    }
    return before.id
  }
  throwIfStopped(rewriter.signal)
  const nodes = place.depth > maxDepth ? undefined : await readableTree(rewriter.reader, place.id)
  const own: RepairedPath[] = []
  const id =
    nodes === undefined
      ? undefined
      : await rewriteNodes(rewriter, { ...place, path: '' }, { nodes, paths: own })
  rewriter.done.set(place.id, { id, paths: own })
  for (const { path, change } of own) {
    note(paths, joined(place.path, path), change)
  }
  return id
}

async function rewriteNodes(
  rewriter: Rewriter,
  place: Place,
  tree: { readonly nodes: readonly TreeNode[]; readonly paths: RepairedPath[] },
): Promise<Hex> {
  const kept: TreeNode[] = []
  let changed = false
  for (const node of tree.nodes) {
    const path = `${place.path}/${node.name}`
    const next =
      node.type === 'dir'
        ? await rewriteDirectory(rewriter, node, { ...place, path }, tree.paths)
        : rewriteFile(rewriter, node, path, tree.paths)
    changed ||= next !== node
    if (next !== undefined) {
      kept.push(next)
    }
  }
  return changed ? await saveTree(rewriter, kept) : place.id
}

async function rewriteDirectory(
  rewriter: Rewriter,
  node: TreeNode,
  place: Place,
  paths: RepairedPath[],
): Promise<TreeNode> {
  const below: RepairedPath[] = []
  const subtree =
    node.subtree === null
      ? undefined
      : await rewriteTree(rewriter, { id: node.subtree, path: place.path, depth: place.depth + 1 }, below)
  for (const { path, change } of below) {
    note(paths, path, change)
  }
  if (subtree !== undefined) {
    return subtree === node.subtree ? node : { ...node, subtree }
  }
  note(paths, place.path, 'directory emptied')
  return { ...node, subtree: await saveTree(rewriter, []) }
}

function rewriteFile(
  rewriter: Rewriter,
  node: TreeNode,
  path: string,
  paths: RepairedPath[],
): TreeNode | undefined {
  if (node.type === 'irregular') {
    note(paths, path, 'entry removed')
    return undefined
  }
  if (node.type !== 'file') {
    return node
  }
  const { index } = rewriter.repo
  const content = (node.content ?? []).filter((id) => index.has('data', id))
  const size = content.reduce((sum, id) => sum + (index.plainLength('data', id) ?? 0), 0)
  if (node.content !== null && content.length === node.content.length && size === node.size) {
    return node
  }
  note(paths, path, content.length === (node.content ?? []).length ? 'size corrected' : 'content removed')
  return { ...node, content, size }
}

async function saveTree(rewriter: Rewriter, nodes: readonly TreeNode[]): Promise<Hex> {
  const bytes = encodeTree(nodes.map((node) => encodeNode(node)))
  const id = sha256Hex(bytes)
  if (rewriter.write && !rewriter.saved.has(id) && !(await isReadable(rewriter, id))) {
    await rewriter.writer.save('tree', id, bytes)
  }
  rewriter.saved.add(id)
  return id
}

async function isReadable(rewriter: Rewriter, id: Hex): Promise<boolean> {
  return rewriter.repo.index.has('tree', id) && (await readableTree(rewriter.reader, id)) !== undefined
}

/** Undefined for a tree that is missing or damaged; a store that merely fails is thrown, never taken for damage. */
async function readableTree(reader: TreeReader, id: Hex): Promise<readonly TreeNode[] | undefined> {
  try {
    return await reader.load(id)
  } catch (error) {
    if (isHoldfastError(error, 'Damaged', 'NotFound', 'LimitExceeded', 'UnsupportedFormat')) {
      return undefined
    }
    throw error
  }
}

function joined(base: string, path: string): string {
  return base === '/' ? path : `${base}${path}`
}

function note(paths: RepairedPath[], path: string, change: RepairedPath['change']): void {
  if (paths.length < maxPathsListed) {
    paths.push({ path, change })
  }
}
