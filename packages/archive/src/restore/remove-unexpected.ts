import { readdirSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameFromBytes, nameToBytes } from '../format/byte-name.ts'
import type { Posix } from '../posix/posix.ts'
import { closeDescriptor } from './close-descriptor.ts'
import { isDirectory } from './target-tree.ts'

export interface RemovalOptions {
  readonly posix: Posix
  /** Say what would go, and leave it. */
  readonly dryRun: boolean
  /** Called for every entry, contents before their directory. */
  readonly removed: (path: string) => void
}

/** An entry of an open directory, and its path for reports. */
export interface Removal {
  readonly dirFd: number
  readonly name: string
  readonly path: string
}

const DEEPEST = 1024

/**
 * Removes an entry and everything below it. Follows no link, and does not cross into another file
 * system: what is mounted in the target was not restored there. Throws what the system throws; what
 * was removed until then stays removed.
 */
export function removeEntry(entry: Removal, options: RemovalOptions, depth = 0): void {
  const { posix, dryRun, removed } = options
  const name = nameToBytes(entry.name)
  const status = posix.fstatat(entry.dirFd, name)
  if (isDirectory(status)) {
    if (depth >= DEEPEST)
      throw new HoldfastError('LimitExceeded', `directories are nested more than ${DEEPEST} deep`, {
        place: entry.path,
      })
    const fd = posix.openDirectoryAt(entry.dirFd, name)
    try {
      if (posix.fstat(fd).dev !== posix.fstat(entry.dirFd).dev) {
        throw new HoldfastError('TargetUnwritable', 'another file system is mounted there', {
          place: entry.path,
        })
      }
      for (const child of readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' })) {
        const childName = nameFromBytes(child)
        removeEntry({ dirFd: fd, name: childName, path: `${entry.path}/${childName}` }, options, depth + 1)
      }
    } finally {
      closeDescriptor(fd)
    }
  }
  if (!dryRun && isDirectory(status)) posix.rmdirat(entry.dirFd, name)
  else if (!dryRun) posix.unlinkat(entry.dirFd, name)
  removed(entry.path)
}
