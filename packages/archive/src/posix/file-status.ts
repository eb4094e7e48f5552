import { allocateCString } from './c-string.ts'
import { errnoError } from './errno-error.ts'
import type { Libc } from './libc.ts'

/** What the kernel says about a file; the field names are those of node's `BigIntStats` where both have them. */
export interface FileStatus {
  /** Type and permission bits, as `st_mode`; compare `mode & fs.constants.S_IFMT`. */
  readonly mode: number
  /** Bytes. */
  readonly size: number
  /** Allocated units of 512 bytes. */
  readonly blocks: number
  readonly ino: bigint
  /** Encoded as `st_dev` and as Go's: the same number node's `stat` gives. */
  readonly dev: bigint
  readonly rdev: bigint
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  /** Nanoseconds since 1970, negative before. */
  readonly atimeNs: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

/** Exact status, with the failures of stat(2) as errno-shaped errors. */
export interface StatusCalls {
  /** Never follows a symbolic link in the last component. */
  lstat(path: Uint8Array): FileStatus
  fstat(fd: number): FileStatus
  /** The entry of an open directory itself, never what a symbolic link points to. */
  fstatat(dirFd: number, entry: Uint8Array): FileStatus
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_NO_AUTOMOUNT = 0x800
const AT_EMPTY_PATH = 0x1000
const STATX_BASIC_STATS = 0x7ff
const BYTES = 256
const EMPTY = Buffer.alloc(1)

// statx(2) because its structure, unlike stat's, is the same on every architecture.
export function bindStatusCalls(libc: Libc): StatusCalls {
  const nameString = allocateCString()
  const memory = Buffer.alloc(BYTES)
  const nofollow = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT
  const fail = (syscall: string, path?: Uint8Array): Error =>
    errnoError(libc.errno(), {
      syscall,
      errnoNames: libc.errnoNames,
      ...(path === undefined ? {} : { path }),
    })
  return {
    lstat: (path) => {
      const name = nameString.path(path, 'lstat')
      if (libc.statx(AT_FDCWD, name, nofollow, STATX_BASIC_STATS, memory) < 0) throw fail('lstat', path)
      return decode(memory)
    },
    fstat: (fd) => {
      if (libc.statx(fd, EMPTY, AT_EMPTY_PATH, STATX_BASIC_STATS, memory) < 0) throw fail('fstat')
      return decode(memory)
    },
    fstatat: (dirFd, entry) => {
      const name = nameString.component(entry, 'fstatat')
      if (libc.statx(dirFd, name, nofollow, STATX_BASIC_STATS, memory) < 0) throw fail('fstatat', entry)
      return decode(memory)
    },
  }
}

// Offsets of struct statx in the kernel's uapi header linux/stat.h.
function decode(memory: Buffer): FileStatus {
  return {
    mode: memory.readUInt16LE(28),
    size: readNumber(memory, 40),
    blocks: readNumber(memory, 48),
    ino: memory.readBigUInt64LE(32),
    dev: deviceNumber(memory.readUInt32LE(136), memory.readUInt32LE(140)),
    rdev: deviceNumber(memory.readUInt32LE(128), memory.readUInt32LE(132)),
    nlink: memory.readUInt32LE(16),
    uid: memory.readUInt32LE(20),
    gid: memory.readUInt32LE(24),
    atimeNs: readTime(memory, 64),
    mtimeNs: readTime(memory, 112),
    ctimeNs: readTime(memory, 96),
  }
}

function readNumber(memory: Buffer, offset: number): number {
  return memory.readUInt32LE(offset + 4) * 2 ** 32 + memory.readUInt32LE(offset)
}

function readTime(memory: Buffer, offset: number): bigint {
  return memory.readBigInt64LE(offset) * 1_000_000_000n + BigInt(memory.readUInt32LE(offset + 8))
}

// glibc's makedev: the low 8 bits of minor, 12 of major, then the rest of each. Numbers while they fit, for speed.
function deviceNumber(major: number, minor: number): bigint {
  if (major < 0x1000 && minor < 0x100) return BigInt(major * 0x100 + minor)
  const a = BigInt(major)
  const b = BigInt(minor)
  return (b & 0xffn) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n)
}
