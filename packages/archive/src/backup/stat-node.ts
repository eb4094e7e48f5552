import type { BigIntStats } from 'node:fs'
import { readlinkSync } from 'node:fs'
import { nameFromBytes, nameToBytes } from '../format/byte-name.ts'
import { goModeFromStat } from '../format/file-mode.ts'
import { formatGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Accounts } from '../posix/accounts.ts'
import type { Posix } from '../posix/posix.ts'
import type { ReadingRules } from './backup-job.ts'

/** What node:fs takes for a name of ours: the string itself, or its bytes where it is not UTF-8. */
export function fsPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : nameToBytes(path)
}

export interface NodeMaker {
  /** The node of an entry, without content. `path` locates it, `name` is what the tree calls it; `fd`, where it is open, is faster. */
  fromStat(name: string, path: string, stat: BigIntStats, fd?: number): TreeNode
}

/** Reports an attribute that could not be read; the node goes without it. */
export type AttributeProblem = (path: string, message: string) => void

const NO_XATTRS: TreeNode['xattrs'] = []

/** Makes nodes with the attributes restic stores. Without `posix` there are no extended attributes. */
export function createNodeMaker(
  rules: Pick<ReadingRules, 'withAtime' | 'omitDeviceIds'>,
  system: { readonly posix: Posix | undefined; readonly accounts: Accounts },
  onProblem: AttributeProblem,
): NodeMaker {
  const { posix, accounts } = system
  const readXattrs = (path: string, fd: number | undefined): TreeNode['xattrs'] => {
    if (posix === undefined) return NO_XATTRS
    try {
      if (fd !== undefined) return pairs(posix.flistXattrs(fd), (name) => posix.fgetXattr(fd, name))
      const bytes = nameToBytes(path)
      return pairs(posix.listXattrs(bytes), (name) => posix.getXattr(bytes, name))
    } catch (error) {
      onProblem(path, `extended attributes: ${(error as Error).message}`)
      return NO_XATTRS
    }
  }
  return {
    fromStat(name, path, stat, fd) {
      const { type, mode } = goModeFromStat(Number(stat.mode))
      const mtime = formatGoTime(stat.mtimeNs)
      const uid = Number(stat.uid)
      const gid = Number(stat.gid)
      const links = linksCount(type, stat)
      return {
        name,
        type,
        mode,
        mtime,
        atime: rules.withAtime ? formatGoTime(stat.atimeNs) : mtime,
        ctime: formatGoTime(stat.ctimeNs),
        uid,
        gid,
        user: accounts.userName(uid),
        group: accounts.groupName(gid),
        inode: stat.ino,
        deviceId: rules.omitDeviceIds && links <= 1 ? 0n : stat.dev,
        size: type === 'file' ? Number(stat.size) : 0,
        links,
        linktarget: type === 'symlink' ? readLink(path) : '',
        xattrs: readXattrs(path, fd),
        device: type === 'dev' || type === 'chardev' ? stat.rdev : 0n,
        content: null,
        subtree: null,
      }
    },
  }
}

function pairs(names: readonly string[], read: (name: string) => Buffer): TreeNode['xattrs'] {
  return names.length === 0 ? NO_XATTRS : names.map((name) => ({ name, value: read(name) }))
}

/** restic counts links where a name can have several: not for directories, pipes and sockets. */
function linksCount(type: TreeNode['type'], stat: BigIntStats): number {
  return type === 'dir' || type === 'fifo' || type === 'socket' ? 0 : Number(stat.nlink)
}

function readLink(path: string): string {
  return nameFromBytes(readlinkSync(fsPath(path), { encoding: 'buffer' }))
}
