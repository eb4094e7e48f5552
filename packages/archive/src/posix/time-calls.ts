import { allocateCString } from './c-string.ts'
import { errnoError } from './errno-error.ts'
import type { Libc } from './libc.ts'

/**
 * Setting times exactly: nanoseconds since 1970, negative before; `undefined` leaves that time as it is. Symbolic
 * links get the times themselves. (node's `utimes` goes through doubles and is off by about 100 ns.) A file system
 * may store less: ext4 without large inodes whole seconds, FAT two.
 */
export interface TimeCalls {
  utimens(path: Uint8Array, atimeNs: bigint | undefined, mtimeNs: bigint | undefined): void
  futimens(fd: number, atimeNs: bigint | undefined, mtimeNs: bigint | undefined): void
  utimensat(dirFd: number, entry: Uint8Array, atimeNs: bigint | undefined, mtimeNs: bigint | undefined): void
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const UTIME_OMIT = 0x3fff_fffen
const SECOND = 1_000_000_000n

export function bindTimeCalls(libc: Libc): TimeCalls {
  const nameString = allocateCString()
  // Two struct timespec: seconds and nanoseconds of the access time, then of the modification time.
  const times = new BigInt64Array(4)
  const fill = (atimeNs: bigint | undefined, mtimeNs: bigint | undefined): BigInt64Array => {
    writeTime(times, 0, atimeNs)
    writeTime(times, 2, mtimeNs)
    return times
  }
  const fail = (syscall: string, path?: Uint8Array): Error =>
    errnoError(libc.errno(), {
      syscall,
      errnoNames: libc.errnoNames,
      ...(path === undefined ? {} : { path }),
    })
  return {
    utimens: (path, atimeNs, mtimeNs) => {
      const name = nameString.path(path, 'utimensat')
      if (libc.utimensat(AT_FDCWD, name, fill(atimeNs, mtimeNs), AT_SYMLINK_NOFOLLOW) < 0) {
        throw fail('utimensat', path)
      }
    },
    futimens: (fd, atimeNs, mtimeNs) => {
      if (libc.futimens(fd, fill(atimeNs, mtimeNs)) < 0) throw fail('futimens')
    },
    utimensat: (dirFd, entry, atimeNs, mtimeNs) => {
      const name = nameString.component(entry, 'utimensat')
      if (libc.utimensat(dirFd, name, fill(atimeNs, mtimeNs), AT_SYMLINK_NOFOLLOW) < 0) {
        throw fail('utimensat', entry)
      }
    },
  }
}

function writeTime(times: BigInt64Array, at: number, ns: bigint | undefined): void {
  if (ns === undefined) {
    times[at] = 0n
    times[at + 1] = UTIME_OMIT
    return
  }
  // Bigint division rounds towards zero; nanoseconds must count forward from the second, before 1970 too.
  let seconds = ns / SECOND
  let rest = ns % SECOND
  if (rest < 0n) {
    seconds -= 1n
    rest += SECOND
  }
  times[at] = seconds
  times[at + 1] = rest
}
