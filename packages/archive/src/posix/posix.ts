import { bindContainedCalls, type ContainedCalls } from './contained-calls.ts'
import { bindEntryCalls, type EntryCalls } from './entry-calls.ts'
import { bindExtentCalls, type ExtentCalls } from './extent-calls.ts'
import { bindStatusCalls, type StatusCalls } from './file-status.ts'
import { openLibc } from './libc.ts'
import { bindTimeCalls, type TimeCalls } from './time-calls.ts'
import { bindXattrCalls, type XattrCalls } from './xattr-calls.ts'

/**
 * The system calls node:fs lacks. Synchronous and cheap enough to be made per file (1 to 3 microseconds).
 * Paths and names are bytes. Every failure is an error of the shape node:fs throws (`code`, `errno`, `syscall`,
 * `path`). To list an open directory, `fs.readdirSync('/proc/self/fd/<fd>', { encoding: 'buffer' })`.
 */
export interface Posix extends XattrCalls, StatusCalls, TimeCalls, EntryCalls, ContainedCalls, ExtentCalls {}

let opened: Posix | undefined

/**
 * The calls of this thread (they share reused memory, so never hand them to another). Throws `Unsupported` where
 * they do not exist: anything but 64-bit Linux, or without the koffi module. Opening again costs nothing.
 */
export function openPosix(): Posix {
  opened ??= bind()
  return opened
}

function bind(): Posix {
  const libc = openLibc()
  const entries = bindEntryCalls(libc)
  return {
    ...entries,
    ...bindXattrCalls(libc),
    ...bindStatusCalls(libc),
    ...bindTimeCalls(libc),
    ...bindContainedCalls(libc, entries),
    ...bindExtentCalls(libc),
  }
}
