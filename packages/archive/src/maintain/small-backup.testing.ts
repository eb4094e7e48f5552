import { sha256Hex } from '../format/ids.ts'
import { encodeSnapshot } from '../format/snapshot.ts'
import { encodeNode, encodeTree, type TreeNode } from '../format/tree.ts'
import { openBlobWriter } from '../repository/blob-writer.ts'
import type { Repository } from '../repository/repository.ts'

const time = '2024-01-01T00:00:00Z'
const plainFile: TreeNode = {
  name: 'file',
  type: 'file',
  mode: 0o644,
  mtime: time,
  atime: time,
  ctime: time,
  uid: 0,
  gid: 0,
  user: '',
  group: '',
  inode: 1n,
  deviceId: 0n,
  size: 0,
  links: 1,
  linktarget: '',
  xattrs: [],
  device: 0n,
  content: [],
  subtree: null,
}

/** Saves a snapshot of one file made of `blobs` small blobs that depend on `seed`; the snapshot's id. */
export async function smallBackup(repo: Repository, seed: number, blobs = 5): Promise<string> {
  const writer = openBlobWriter(repo, { packBytes: 65_536 })
  const content: string[] = []
  let size = 0
  for (let i = 0; i < blobs; i += 1) {
    const body = Buffer.from(`blob ${i} of backup ${seed}`)
    const id = sha256Hex(body)
    await writer.save('data', id, body)
    content.push(id)
    size += body.length
  }
  const tree = encodeTree([encodeNode({ ...plainFile, content, size })])
  const id = sha256Hex(tree)
  await writer.save('tree', id, tree)
  await writer.flush()
  const who = { hostname: 'host', username: 'user', uid: 0, gid: 0 }
  return await repo.saveUnpacked(
    'snapshot',
    encodeSnapshot({ time, tree: id, paths: ['/x'], ...who, excludes: [], tags: [] }),
  )
}
