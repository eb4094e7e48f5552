import { errnoError } from './errno-error.ts'
import type { Libc } from './libc.ts'

/** How a file will be read, for the kernel's page cache. */
export type Advice = 'normal' | 'random' | 'sequential' | 'will-need' | 'dont-need' | 'no-reuse'

/** Where a file has data and where it has holes, and advice about its pages. Offsets and lengths are bytes. */
export interface ExtentCalls {
  /** The first data at or after `offset`, or null when only a hole follows. Moves the file position. */
  seekData(fd: number, offset: number): number | null
  /** The first hole at or after `offset`: the end of the file if there is none. `ENXIO` beyond the end. */
  seekHole(fd: number, offset: number): number
  /** Reserves space without changing the size when `keepSize`. `ENOTSUP` where the file system cannot. */
  fallocate(fd: number, offset: number, length: number, keepSize?: boolean): void
  /** Gives the range back to the file system; it reads as zeros, the size stays. */
  punchHole(fd: number, offset: number, length: number): void
  /** Length 0 means to the end of the file. Advice only: failure to take it is not an error. */
  fadvise(fd: number, advice: Advice, offset?: number, length?: number): void
  /** Bytes in a block device. `ENOTTY` when it is something else. */
  blockDeviceSize(fd: number): number
}

const SEEK_DATA = 3
const SEEK_HOLE = 4
const KEEP_SIZE = 1
const PUNCH_HOLE = 2
const ENXIO = 6
// _IOR(0x12, 114, size_t) on every architecture openLibc accepts.
const BLKGETSIZE64 = 0x8008_1272
const ADVICE: Readonly<Record<Advice, number>> = {
  normal: 0,
  random: 1,
  sequential: 2,
  'will-need': 3,
  'dont-need': 4,
  'no-reuse': 5,
}

export function bindExtentCalls(libc: Libc): ExtentCalls {
  const size = Buffer.alloc(8)
  const fail = (syscall: string): Error => errnoError(libc.errno(), { syscall, errnoNames: libc.errnoNames })
  return {
    seekData: (fd, offset) => {
      const found = Number(libc.lseek(fd, offset, SEEK_DATA))
      if (found >= 0) return found
      if (libc.errno() === ENXIO) return null
      throw fail('lseek')
    },
    seekHole: (fd, offset) => {
      const found = Number(libc.lseek(fd, offset, SEEK_HOLE))
      if (found < 0) throw fail('lseek')
      return found
    },
    fallocate: (fd, offset, length, keepSize = false) => {
      if (libc.fallocate(fd, keepSize ? KEEP_SIZE : 0, offset, length) < 0) throw fail('fallocate')
    },
    punchHole: (fd, offset, length) => {
      if (libc.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length) < 0) throw fail('fallocate')
    },
    fadvise: (fd, advice, offset = 0, length = 0) => {
      libc.posixFadvise(fd, offset, length, ADVICE[advice])
    },
    blockDeviceSize: (fd) => {
      if (libc.ioctl(fd, BLKGETSIZE64, size) < 0) throw fail('ioctl')
      return Number(size.readBigUInt64LE(0))
    },
  }
}
