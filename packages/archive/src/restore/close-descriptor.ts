import { errnoError } from '../posix/errno-error.ts'
import { openLibc } from '../posix/libc.ts'

/**
 * Closes a descriptor that a system call of ours opened. Not fs.closeSync, because in a worker thread
 * node warns about closing what it did not open. Throws what close(2) says: with quotas and network
 * file systems that is where a failed write is reported.
 */
export function closeDescriptor(fd: number): void {
  const libc = openLibc()
  if (libc.close(fd) < 0) throw errnoError(libc.errno(), { syscall: 'close', errnoNames: libc.errnoNames })
}
