import type { Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import { treesAhead, walkTree } from './walk-tree.ts'

export interface ListTreeOptions {
  readonly tree: Hex
  /** Absolute paths within the tree; only what is in them is listed. Everything when empty. */
  readonly directories?: readonly string[]
  /** Also go into the directories of those listed. Without `directories` everything is listed anyway. */
  readonly recursive?: boolean
}

export interface ListedNode {
  /** From the root of the tree, beginning with '/'. */
  readonly path: string
  readonly node: TreeNode
  readonly parentTree: Hex
}

/**
 * The entries of a tree in stored order, a directory before what is in it, as restic's `ls` selects
 * them: a directory asked for is listed itself too. A tree that cannot be read is thrown.
 */
export async function* listTree(
  source: Pick<Repository, 'loadTree' | 'store'>,
  options: ListTreeOptions,
): AsyncGenerator<ListedNode, void, undefined> {
  const directories = (options.directories ?? []).map(cleanPath)
  const everything = directories.length === 0
  const within = (path: string): boolean => everything || directories.some((dir) => hasPrefix(dir, path))
  const approaching = (path: string): boolean => everything || directories.some((dir) => hasPrefix(path, dir))
  const descend = (path: string): boolean => approaching(path) || (options.recursive === true && within(path))
  for await (const event of walkTree(source, options.tree, { descend, ...treesAhead(source, descend) })) {
    if (event.kind === 'failed') throw event.error
    if (event.kind === 'node' && within(event.path)) {
      yield { path: event.path, node: event.node, parentTree: event.parentTree }
    }
  }
}

function hasPrefix(directory: string, path: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`)
}

function cleanPath(path: string): string {
  return `/${path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .join('/')}`
}
