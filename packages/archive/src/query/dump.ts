import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import { pathComponents } from './find-subtree.ts'
import { readContent } from './read-content.ts'
import { tarEnd, tarHeader, tarPadding } from './tar-header.ts'
import { treesAhead, walkTree } from './walk-tree.ts'

export interface DumpOptions {
  readonly tree: Hex
  /** A file's content comes as it is, a directory as a tar archive; '/' is the whole tree. */
  readonly path: string
}

/** What a path in a tree is, and its bytes to come. */
export interface Dump {
  readonly kind: 'file' | 'tar'
  /** In order; every blob verified. Ends with an error when something cannot be read: what came is then incomplete. */
  readonly bytes: AsyncIterable<Uint8Array>
}

/**
 * Finds a path and gives its content to be written wherever the caller likes. Members of an archive
 * carry their whole path in the tree; a directory's own entry is left out, and so are devices, pipes
 * and sockets, as restic does. Hard links are links. Throws NotFound, and InvalidInput for a path that
 * is neither file nor directory.
 */
export async function openDump(repository: Repository, { tree, path }: DumpOptions): Promise<Dump> {
  const names = pathComponents(path)
  let at = tree
  for (const [depth, name] of names.entries()) {
    const place = `/${names.slice(0, depth + 1).join('/')}`
    const node = (await repository.loadTree(at)).find((candidate) => candidate.name === name)
    if (node === undefined)
      throw new HoldfastError('NotFound', `path ${place} is not in the snapshot`, { place })
    const last = depth === names.length - 1
    if (last && node.type === 'file')
      return { kind: 'file', bytes: readContent(repository, node.content ?? []) }
    if (node.type !== 'dir' || node.subtree === null) {
      const expected = last ? 'a file or a directory' : 'a directory'
      throw new HoldfastError('InvalidInput', `${place} is a ${node.type}, expected ${expected}`, { place })
    }
    at = node.subtree
  }
  return { kind: 'tar', bytes: tarOf(repository, at, names.map((name) => `/${name}`).join('')) }
}

async function* tarOf(
  repository: Repository,
  tree: Hex,
  rootPath: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const firstNames = new Map<string, string>()
  for await (const event of walkTree(repository, tree, { rootPath, ...treesAhead(repository) })) {
    if (event.kind === 'failed') throw event.error
    if (event.kind !== 'node' || !['file', 'dir', 'symlink'].includes(event.node.type)) continue
    const { node } = event
    const path = event.path.slice(1)
    const hardLinkTo = node.type === 'file' ? earlierName(firstNames, node, path) : undefined
    const content = node.type === 'file' && hardLinkTo === undefined ? (node.content ?? []) : []
    // the blobs decide: a header that promises another size would make the rest of the archive unreadable
    const size = content.reduce((sum, id) => sum + (repository.index.plainLength('data', id) ?? 0), 0)
    yield tarHeader({ path, node, size, hardLinkTo })
    yield* readContent(repository, content)
    if (size % 512 !== 0) yield tarPadding(size)
  }
  yield tarEnd()
}

function earlierName(firstNames: Map<string, string>, node: TreeNode, path: string): string | undefined {
  if (node.links <= 1 || node.inode === 0n) return undefined
  const key = `${node.deviceId}:${node.inode}`
  const first = firstNames.get(key)
  if (first === undefined) firstNames.set(key, path)
  return first
}
