import { userInfo } from 'node:os'
import { formatGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import type { StoredContent } from './segment-chain.ts'

/** The node of bytes that were no regular file: a stream or a device. It becomes one, of the caller's, mode 0644. */
export function streamNode(name: string, stored: StoredContent, timeNs: bigint): TreeNode {
  const time = formatGoTime(timeNs)
  const { uid, gid, username } = userInfo()
  return {
    name,
    type: 'file',
    mode: 0o644,
    mtime: time,
    atime: time,
    ctime: time,
    uid,
    gid,
    user: username,
    group: '',
    inode: 0n,
    deviceId: 0n,
    size: stored.length,
    links: 1,
    linktarget: '',
    xattrs: [],
    device: 0n,
    content: stored.content,
    subtree: null,
  }
}
