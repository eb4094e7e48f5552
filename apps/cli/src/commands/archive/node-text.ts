import type { TreeNode } from '@holdfast/archive'
import { formatSize } from '../../terminal/format-size.ts'
import { quoteName } from '../../terminal/quote-name.ts'
import { formatMode } from './mode-text.ts'
import { snapshotTime } from './snapshot-text.ts'

/** A node as restic's `ls --long` prints it. Pure apart from the process's time zone. */
export function formatNode(
  path: string,
  node: TreeNode,
  options: { readonly humanReadable: boolean },
): string {
  const size = options.humanReadable ? formatSize(node.size) : String(node.size)
  const target = node.type === 'symlink' ? ` -> ${quoteName(node.linktarget)}` : ''
  const owner = `${String(node.uid).padStart(5)} ${String(node.gid).padStart(5)}`
  const padded = size.padStart(options.humanReadable ? 11 : 6)
  return `${formatMode(node.mode)} ${owner} ${padded} ${snapshotTime(node.mtime)} ${quoteName(path)}${target}`
}

/** A node as restic's `ls --json` prints it. Pure. */
export function nodeJson(path: string, node: TreeNode): Readonly<Record<string, unknown>> {
  return {
    name: node.name,
    type: node.type,
    path,
    uid: node.uid,
    gid: node.gid,
    size: node.type === 'file' ? node.size : undefined,
    mode: node.mode,
    permissions: formatMode(node.mode),
    mtime: node.mtime,
    atime: node.atime,
    ctime: node.ctime,
    inode: node.inode === 0n ? undefined : node.inode,
    message_type: 'node',
    struct_type: 'node',
  }
}

/** A node as restic's `find --json` prints it. Pure. */
export function matchJson(path: string, node: TreeNode): Readonly<Record<string, unknown>> {
  return {
    path,
    permissions: formatMode(node.mode),
    type: node.type,
    mode: node.mode,
    mtime: node.mtime,
    atime: node.atime,
    ctime: node.ctime,
    uid: node.uid,
    gid: node.gid,
    user: node.user === '' ? undefined : node.user,
    group: node.group === '' ? undefined : node.group,
    inode: node.inode === 0n ? undefined : node.inode,
    device_id: node.deviceId === 0n ? undefined : node.deviceId,
    size: node.size === 0 ? undefined : node.size,
    links: node.links === 0 ? undefined : node.links,
    linktarget: node.linktarget === '' ? undefined : node.linktarget,
  }
}
