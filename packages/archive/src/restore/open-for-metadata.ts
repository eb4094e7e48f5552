import { constants } from 'node:fs'
import type { Posix } from '../posix/posix.ts'

/**
 * Opens a file to set its metadata: never through a link, never waiting for a pipe. A file of our own
 * that we may not even read is made readable first; the caller sets its mode afterwards anyway.
 */
export function openForMetadata(posix: Posix, dirFd: number, name: Uint8Array, access: number): number {
  const flags = access | constants.O_NONBLOCK
  try {
    return posix.openat(dirFd, name, flags)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    const { mode } = posix.fstatat(dirFd, name)
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw error
    posix.fchmodat(dirFd, name, (mode & 0o777) | 0o600)
    return posix.openat(dirFd, name, flags)
  }
}
