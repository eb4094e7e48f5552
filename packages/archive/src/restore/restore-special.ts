import { constants } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameToBytes } from '../format/byte-name.ts'
import { parseGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import type { FileStatus } from '../posix/file-status.ts'
import { applyEntryMetadata } from './apply-metadata.ts'
import { metadataFor } from './build-jobs.ts'
import { mayOverwrite } from './decide-node.ts'
import type { Entry } from './plan-entries.ts'
import type { RestoreRun } from './restore-run.ts'
import { existingOf } from './target-tree.ts'

const S_IFSOCK = 0o140000

/**
 * Restores what has no content: symbolic links, devices, pipes and, when asked to, sockets. restic
 * never restores sockets, and a dead one keeps some programs from starting: by default they are
 * counted and left out. Throws what the target throws.
 */
export function restoreSpecial(run: RestoreRun, entry: Entry): void {
  const { node, directory, path } = entry
  const { tally, settings, target } = run
  if (node.type === 'socket' && settings.sockets === 'skip') {
    tally.counts.socketsSkipped++
    return
  }
  const mtimeNs = parseGoTime(node.mtime)
  const status = target.status(directory, node.name)
  if (status !== undefined && !mayOverwrite(mtimeNs, existingOf(status), settings.overwrite)) {
    tally.item({ action: 'skipped', type: node.type, path, size: 0, bytes: 0 })
    return
  }
  tally.expect(0)
  if (!settings.dryRun) create(run, entry, status)
  const action = status === undefined ? 'created' : 'updated'
  tally.item({ action, type: node.type, path, size: 0, bytes: 0 })
}

function create(run: RestoreRun, { node, directory, path }: Entry, status: FileStatus | undefined): void {
  const { target, posix, settings } = run
  const dirFd = target.fd(directory)
  const name = nameToBytes(node.name)
  const keep = status !== undefined && isSame(run, { node, dirFd, name, status })
  if (status !== undefined && !keep) target.clear(directory, node.name)
  if (!keep) make(run, node, dirFd, name)
  const metadata = metadataFor(node, settings, false)
  const at = { dirFd, name, symlink: node.type === 'symlink' }
  run.tally.metadata(path, applyEntryMetadata(posix, at, metadata, settings.rights))
}

interface Standing {
  readonly node: TreeNode
  readonly dirFd: number
  readonly name: Uint8Array
  readonly status: FileStatus
}

/** A link to the same place is kept: taking it away even for a moment would break whoever uses it. */
function isSame({ posix }: RestoreRun, { node, dirFd, name, status }: Standing): boolean {
  if (node.type !== 'symlink' || (status.mode & constants.S_IFMT) !== constants.S_IFLNK) return false
  return posix.readlinkat(dirFd, name).equals(nameToBytes(node.linktarget))
}

function make({ posix }: RestoreRun, node: TreeNode, dirFd: number, name: Uint8Array): void {
  switch (node.type) {
    case 'symlink':
      return posix.symlinkat(nameToBytes(node.linktarget), dirFd, name)
    case 'fifo':
      return posix.mkfifoat(dirFd, name, 0o600)
    case 'socket':
      return posix.mknodat(dirFd, name, S_IFSOCK | 0o600, 0n)
    case 'chardev':
      return posix.mknodat(dirFd, name, constants.S_IFCHR | 0o600, node.device)
    case 'dev':
      return posix.mknodat(dirFd, name, constants.S_IFBLK | 0o600, node.device)
    case 'irregular':
    case 'dir':
    case 'file':
      throw new HoldfastError('Unsupported', `an entry of type ${node.type} cannot be made here`)
  }
}
