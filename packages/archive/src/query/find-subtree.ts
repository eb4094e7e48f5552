import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { TreeSource } from './walk-tree.ts'

/**
 * The tree of `subfolder` (slash-separated, '' or '/' for the root itself) below `root`. Throws
 * `NotFound` when a component is absent and `InvalidInput` when it is no directory.
 */
export async function findSubtree(source: TreeSource, root: Hex, subfolder: string): Promise<Hex> {
  let tree = root
  let path = ''
  for (const name of pathComponents(subfolder)) {
    path += `/${name}`
    const node = (await source.loadTree(tree)).find((candidate) => candidate.name === name)
    if (node === undefined)
      throw new HoldfastError('NotFound', `path ${path} is not in the snapshot`, { place: path })
    if (node.type !== 'dir' || node.subtree === null) {
      throw new HoldfastError('InvalidInput', `path ${path} is a ${node.type}, not a directory`, {
        place: path,
      })
    }
    tree = node.subtree
  }
  return tree
}

/** Names of a slash-separated path, with '.' and empty ones dropped and '..' resolved within the path. */
export function pathComponents(path: string): readonly string[] {
  const components: string[] = []
  for (const name of path.split('/')) {
    if (name === '..') components.pop()
    else if (name !== '' && name !== '.') components.push(name)
  }
  return components
}

/** Splits `snapshot:subfolder`; the subfolder is '' when there is none. */
export function splitSnapshotPath(ref: string): { readonly snapshot: string; readonly subfolder: string } {
  const colon = ref.indexOf(':')
  return colon < 0
    ? { snapshot: ref, subfolder: '' }
    : { snapshot: ref.slice(0, colon), subfolder: ref.slice(colon + 1) }
}
