import { HoldfastError } from '@holdfast/contract'
import { parseGoTime } from '../format/go-time.ts'
import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import type { TreeNode } from '../format/tree.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import type { Repository } from '../repository/repository.ts'
import { treesAhead, walkTree } from './walk-tree.ts'

/** Compiled patterns: whether a path matches, and whether one below it could. */
export interface EntryPattern {
  matches(path: string): boolean
  childMayMatch(path: string): boolean
}

export interface FindEntriesOptions {
  readonly pattern: EntryPattern
  /** Modification times, nanoseconds since 1970; both bounds inclusive. */
  readonly oldestNs?: bigint
  readonly newestNs?: bigint
}

export interface FoundEntry {
  readonly snapshot: StoredSnapshot
  readonly path: string
  readonly node: TreeNode
}

/** Entries of the snapshots, in the order given, that match. A tree that cannot be read is thrown. */
export async function* findEntries(
  repository: Repository,
  snapshots: readonly StoredSnapshot[],
  options: FindEntriesOptions,
): AsyncGenerator<FoundEntry, void, undefined> {
  const { pattern } = options
  for (const snapshot of snapshots) {
    const descend = (path: string): boolean => pattern.childMayMatch(path)
    for await (const event of walkTree(repository, snapshot.tree, {
      descend,
      ...treesAhead(repository, descend),
    })) {
      if (event.kind === 'failed') throw event.error
      if (event.kind !== 'node' || !pattern.matches(event.path) || !isInTime(event.node, options)) continue
      yield { snapshot, path: event.path, node: event.node }
    }
  }
}

function isInTime(node: TreeNode, { oldestNs, newestNs }: FindEntriesOptions): boolean {
  if (oldestNs === undefined && newestNs === undefined) return true
  const mtime = parseGoTime(node.mtime)
  return (oldestNs === undefined || mtime >= oldestNs) && (newestNs === undefined || mtime <= newestNs)
}

export interface FindObjectsOptions {
  /** What `ids` name. */
  readonly kind: 'blob' | 'tree' | 'pack'
  /** Full ids, or beginnings of at least 4 digits. */
  readonly ids: readonly string[]
}

export interface FoundObject {
  readonly objectType: 'blob' | 'tree'
  readonly id: Hex
  readonly path: string
  /** Of a blob: the tree that holds the file. */
  readonly parentTree: Hex | undefined
  readonly snapshot: StoredSnapshot
}

/**
 * Where in the snapshots data blobs, trees, or the blobs of packs are used: each file once for each
 * of its blobs that matches. Throws InvalidInput for what is no id, NotFound for an unknown pack.
 */
export async function* findObjects(
  repository: Repository,
  snapshots: readonly StoredSnapshot[],
  options: FindObjectsOptions,
): AsyncGenerator<FoundObject, void, undefined> {
  const wanted = wantedIds(repository.index, options)
  for (const snapshot of snapshots) {
    if (wanted.isTree(snapshot.tree)) {
      yield { objectType: 'tree', id: snapshot.tree, path: '/', parentTree: undefined, snapshot }
    }
    for await (const event of walkTree(repository, snapshot.tree, treesAhead(repository))) {
      if (event.kind === 'failed') throw event.error
      if (event.kind !== 'node') continue
      const { node, path, parentTree } = event
      if (node.type === 'dir' && node.subtree !== null && wanted.isTree(node.subtree)) {
        yield { objectType: 'tree', id: node.subtree, path, parentTree: undefined, snapshot }
      }
      for (const id of new Set(node.content?.filter(wanted.isBlob))) {
        yield { objectType: 'blob', id, path, parentTree, snapshot }
      }
    }
  }
}

interface Wanted {
  isTree(id: Hex): boolean
  isBlob(id: Hex): boolean
}

function wantedIds(index: BlobIndex, { kind, ids }: FindObjectsOptions): Wanted {
  const matchesGiven = idMatcher(ids)
  const nothing = (): boolean => false
  if (kind === 'tree') return { isTree: matchesGiven, isBlob: nothing }
  if (kind === 'blob') return { isTree: nothing, isBlob: matchesGiven }
  const trees = new Set<Hex>()
  const blobs = new Set<Hex>()
  let found = 0
  for (const pack of index.packs()) {
    if (!matchesGiven(pack)) continue
    found++
    for (const { type, id } of index.packBlobs(pack)) (type === 'tree' ? trees : blobs).add(id)
  }
  if (found < ids.length) {
    throw new HoldfastError(
      'NotFound',
      `${ids.length} packs were asked for, the index knows ${found} of them`,
      {
        guidance: 'List them with `holdfast archive list packs`; repair index adds those it does not know.',
      },
    )
  }
  return { isTree: (id) => trees.has(id), isBlob: (id) => blobs.has(id) }
}

function idMatcher(ids: readonly string[]): (id: Hex) => boolean {
  const full = new Set<string>()
  const beginnings: string[] = []
  for (const id of ids) {
    if (!/^[0-9a-f]{4,64}$/.test(id)) {
      throw new HoldfastError('InvalidInput', `"${id}" is not an id`, {
        guidance: 'Give 64 hex digits, or at least the first 4.',
      })
    }
    if (id.length === 64) full.add(id)
    else beginnings.push(id)
  }
  return (id) => full.has(id) || beginnings.some((beginning) => id.startsWith(beginning))
}
