import { type Hex, sha256Hex } from '../format/ids.ts'
import { encodeNode, encodeTree, type TreeNode } from '../format/tree.ts'
import { openBlobWriter } from '../repository/blob-writer.ts'
import { initRepository } from '../repository/init-repository.ts'
import type { Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openMemoryStore } from '../stores/memory.ts'

/** A repository whose blobs are put together by hand: what an attacker with the key could write. */
export interface HandMade {
  readonly repository: Repository
  data(bytes: Uint8Array): Promise<Hex>
  tree(nodes: readonly TreeNode[]): Promise<Hex>
  /** A tree of any bytes at all. */
  rawTree(json: string): Promise<Hex>
  /** Writes what was put and loads the index. */
  finish(): Promise<Repository>
}

export async function handMade(
  store: BlobStore = openMemoryStore(),
  options: { readonly packBytes?: number } = {},
): Promise<HandMade> {
  const repository = await initRepository(store, { password: 'x', scryptCost: { N: 2, r: 1, p: 1 } })
  const writer = openBlobWriter(repository, options)
  const seen = new Set<string>()
  const put = async (type: 'data' | 'tree', bytes: Uint8Array): Promise<Hex> => {
    const id = sha256Hex(bytes)
    if (!seen.has(type + id)) await writer.save(type, id, bytes)
    seen.add(type + id)
    return id
  }
  return {
    repository,
    data: async (bytes) => await put('data', bytes),
    tree: async (nodes) => await put('tree', encodeTree(nodes.map(encodeNode))),
    rawTree: async (json) => await put('tree', Buffer.from(json)),
    async finish() {
      await writer.flush()
      await repository.loadIndex()
      return repository
    },
  }
}

const GO_DIR = 2 ** 31
const GO_SYMLINK = 2 ** 27

/** A node with everything left at a plain value but what is given. */
export function nodeOf(given: Partial<TreeNode> & Pick<TreeNode, 'name' | 'type'>): TreeNode {
  const kindBits = given.type === 'dir' ? GO_DIR : given.type === 'symlink' ? GO_SYMLINK : 0
  return {
    mode: kindBits + 0o755,
    mtime: '2020-01-02T03:04:05.000000006Z',
    atime: '2020-01-02T03:04:05.000000006Z',
    ctime: '2020-01-02T03:04:05.000000006Z',
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    user: '',
    group: '',
    inode: 0n,
    deviceId: 0n,
    size: 0,
    links: 1,
    linktarget: '',
    xattrs: [],
    device: 0n,
    content: given.type === 'file' ? [] : null,
    subtree: null,
    ...given,
  }
}
