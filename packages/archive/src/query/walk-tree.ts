import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'

/** The part of a repository that reading trees needs. */
export type TreeSource = Pick<Repository, 'loadTree'>

export type TreeEvent =
  /** One node; of a directory before its children. */
  | { readonly kind: 'node'; readonly path: string; readonly node: TreeNode; readonly parentTree: Hex }
  /** All children of a directory that was descended into have been seen. */
  | { readonly kind: 'leave'; readonly path: string; readonly node: TreeNode }
  /** The children of `path` could not be read; the walk goes on beside it. */
  | { readonly kind: 'failed'; readonly path: string; readonly error: HoldfastError }

export interface WalkTreeOptions {
  /** Path of the root within the snapshot, without a trailing slash; '' for the top. */
  readonly rootPath?: string
  /** Asked once for each directory, after its event was consumed; true when left out. */
  readonly descend?: (path: string, node: TreeNode) => boolean
  /** Deepest nesting followed. Linux itself resolves no path of more than 2048 names. */
  readonly maxDepth?: number
  /**
   * Most nodes visited. A tree may name one subtree many times over, so that a few kilobytes unfold
   * into more entries than any disk holds.
   */
  readonly maxNodes?: number
  /** Trees to load before their turn, where each costs a request; none when left out. */
  readonly ahead?: TreesAhead
}

export interface TreesAhead {
  /** How many at a time, over all levels, besides the one the walk waits for. */
  readonly count: number
  /** Whether the walk will go there, as far as can be told; asked early and more than once. */
  readonly wanted?: (path: string, node: TreeNode) => boolean
}

interface Level {
  readonly tree: Hex
  readonly path: string
  readonly directory: TreeNode | undefined
  readonly nodes: readonly TreeNode[]
  next: number
  /** First node not yet looked at for loading ahead. */
  unseen: number
}

/**
 * Depth-first walk over a snapshot's tree in the stored (bytewise) order. Holds one decoded tree per
 * level of nesting and those asked for ahead. Throws `LimitExceeded` when more nodes come than `maxNodes`;
 * everything else that is wrong with one directory comes as a `failed` event.
 */
export async function* walkTree(
  source: TreeSource,
  root: Hex,
  options: WalkTreeOptions = {},
): AsyncGenerator<TreeEvent, void, undefined> {
  const { maxNodes = 1e9, descend = () => true, rootPath = '' } = options
  const { maxDepth = 4096, ahead } = options
  const walk: Walk = { source, levels: [], maxDepth, ahead, early: new Map() }
  let visited = 0
  const rootError = await enter(walk, root, rootPath, undefined)
  if (rootError !== undefined) yield { kind: 'failed', path: rootPath || '/', error: rootError }
  for (let level = walk.levels.at(-1); level !== undefined; level = walk.levels.at(-1)) {
    const node = level.nodes[level.next++]
    loadAhead(walk, level)
    if (node === undefined) {
      walk.levels.pop()
      dropEarly(walk, level)
      if (level.directory !== undefined) yield { kind: 'leave', path: level.path, node: level.directory }
      continue
    }
    if (++visited > maxNodes) throw tooManyNodes(maxNodes)
    const path = `${level.path}/${node.name}`
    yield { kind: 'node', path, node, parentTree: level.tree }
    if (node.type !== 'dir' || !descend(path, node)) continue
    const error = await enter(walk, node.subtree, path, node)
    if (error !== undefined) yield { kind: 'failed', path, error }
  }
}

interface Walk {
  readonly source: TreeSource
  readonly levels: Level[]
  readonly maxDepth: number
  readonly ahead: TreesAhead | undefined
  readonly early: Map<Hex, Promise<readonly TreeNode[]>>
}

/** Starts loading the next directories of a level, so that a distant store answers several at once. */
function loadAhead({ source, ahead, early }: Walk, level: Level): void {
  if (ahead === undefined) return
  level.unseen = Math.max(level.unseen, level.next)
  while (early.size < ahead.count && level.unseen < level.nodes.length) {
    const node = level.nodes[level.unseen++]
    if (node === undefined || node.subtree === null || early.has(node.subtree)) continue
    if (ahead.wanted?.(`${level.path}/${node.name}`, node) === false) continue
    const tree = source.loadTree(node.subtree)
    // looked at when the walk gets there
    tree.catch(() => undefined)
    early.set(node.subtree, tree)
  }
}

/** What was loaded for directories that were not entered after all. */
function dropEarly({ early }: Walk, level: Level): void {
  if (early.size > 0) for (const { subtree } of level.nodes) if (subtree !== null) early.delete(subtree)
}

async function enter(
  walk: Walk,
  tree: Hex | null,
  path: string,
  directory: TreeNode | undefined,
): Promise<HoldfastError | undefined> {
  if (tree === null) return withoutSubtree(path)
  try {
    refuseEndless(walk, tree, path)
    const loading = walk.early.get(tree) ?? walk.source.loadTree(tree)
    walk.early.delete(tree)
    walk.levels.push({ tree, path, directory, nodes: await loading, next: 0, unseen: 0 })
    return undefined
  } catch (error) {
    if (isHoldfastError(error)) return error
    throw error
  }
}

/** Loading ahead as it suits a repository: one tree per connection of a distant store. */
export function treesAhead(
  repository: Pick<Repository, 'store'>,
  wanted?: TreesAhead['wanted'],
): { readonly ahead?: TreesAhead } {
  const { localDirectory, connections } = repository.store
  if (localDirectory !== undefined) return {}
  return { ahead: { count: connections, ...(wanted === undefined ? {} : { wanted }) } }
}

function refuseEndless({ levels, maxDepth }: Walk, tree: Hex, path: string): void {
  if (levels.length >= maxDepth) {
    throw new HoldfastError('LimitExceeded', `directories are nested more than ${maxDepth} deep`, {
      place: path,
      guidance: 'The snapshot is damaged or was made to exhaust the reader; restore its parts by --include.',
      retry: 'never',
    })
  }
  if (levels.some((level) => level.tree === tree)) {
    throw new HoldfastError('Damaged', `tree ${tree} contains itself`, { place: path, retry: 'never' })
  }
}

function withoutSubtree(path: string): HoldfastError {
  return new HoldfastError('Damaged', 'a directory without a subtree', { place: path, retry: 'never' })
}

function tooManyNodes(maxNodes: number): HoldfastError {
  return new HoldfastError('LimitExceeded', `the snapshot unfolds into more than ${maxNodes} entries`, {
    guidance: 'It is damaged or was made to exhaust the reader; restore its parts by --include.',
    retry: 'never',
  })
}
