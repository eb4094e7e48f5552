import { constants } from 'node:fs'
import { allocateCString, type CString } from './c-string.ts'
import { errnoError } from './errno-error.ts'
import type { Libc } from './libc.ts'

/**
 * Changes relative to an open directory, for writing into a tree another process may be changing: a path is
 * walked once, every component opened with `openDirectoryAt`, and from then on no symbolic link put in its way
 * can lead elsewhere. An `entry` is exactly one name: `/`, `.`, `..` and the empty name are refused with EINVAL.
 * Nothing follows a symbolic link at `entry`. Descriptors are plain numbers, good for node:fs; the caller closes.
 */
export interface EntryCalls {
  /** `flags` from node's `fs.constants`; O_NOFOLLOW and O_CLOEXEC are always added (a symbolic link: ELOOP). */
  openat(dirFd: number, entry: Uint8Array, flags: number, mode?: number): number
  /** Opens a directory, never a link to one: ENOTDIR for anything else, links included. */
  openDirectoryAt(dirFd: number, entry: Uint8Array): number
  /** `mode` is subject to the umask. */
  mkdirat(dirFd: number, entry: Uint8Array, mode: number): void
  symlinkat(target: Uint8Array, dirFd: number, entry: Uint8Array): void
  /** A hard link to the entry itself: a link to a symbolic link is a link to that, not to its target. */
  linkat(from: Entry, to: Entry): void
  /** Removes a non-directory (EISDIR or EPERM for a directory). */
  unlinkat(dirFd: number, entry: Uint8Array): void
  /** Removes an empty directory. */
  rmdirat(dirFd: number, entry: Uint8Array): void
  /** Replaces what is at `to`, atomically, as rename(2). */
  renameat(from: Entry, to: Entry): void
  fchownat(dirFd: number, entry: Uint8Array, uid: number, gid: number): void
  /** Permission bits 07777. ENOTSUP for a symbolic link, whose mode Linux does not have. */
  fchmodat(dirFd: number, entry: Uint8Array, mode: number): void
  readlinkat(dirFd: number, entry: Uint8Array): Buffer
  /** `mode` with the type bits (S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK), subject to the umask; `dev` as in `FileStatus.rdev`. */
  mknodat(dirFd: number, entry: Uint8Array, mode: number, dev: bigint): void
  mkfifoat(dirFd: number, entry: Uint8Array, mode: number): void
  mknod(path: Uint8Array, mode: number, dev: bigint): void
  mkfifo(path: Uint8Array, mode: number): void
}

/** One name in an open directory. */
export interface Entry {
  readonly dirFd: number
  readonly name: Uint8Array
}

/** O_CLOEXEC and O_PATH, which node does not name; the same on x86-64 and the generic architectures. */
const O_CLOEXEC = 0x80000
const O_PATH = 0x200000

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200
const LONGEST_LINK = 4096
const EPERM = 1
const EINVAL = 22
const ENOSYS = 38
// fchmodat2 came with Linux 6.6, after the numbers of new calls became the same everywhere.
const SYS_FCHMODAT2 = 452

/** What the groups below share: the library, a scratch string, and how a failure becomes an error. */
interface Bench {
  readonly libc: Libc
  readonly string: CString
  readonly fail: (syscall: string, path: Uint8Array, dest?: Uint8Array) => Error
}

export function bindEntryCalls(libc: Libc): EntryCalls {
  const fail: Bench['fail'] = (syscall, path, dest) =>
    errnoError(libc.errno(), {
      syscall,
      path,
      errnoNames: libc.errnoNames,
      ...(dest === undefined ? {} : { dest }),
    })
  const bench: Bench = { libc, string: allocateCString(), fail }
  return {
    ...bindOpening(bench),
    ...bindNaming(bench),
    ...bindAttributes(bench),
    ...bindNodes(bench),
    fchmodat: bindFchmodat(bench),
  }
}

function bindOpening({
  libc,
  string,
  fail,
}: Bench): Pick<EntryCalls, 'openat' | 'openDirectoryAt' | 'mkdirat'> {
  const always = constants.O_NOFOLLOW | O_CLOEXEC
  const directory = always | constants.O_DIRECTORY | constants.O_RDONLY
  return {
    openat: (dirFd, entry, flags, mode = 0) => {
      const fd = libc.openat(dirFd, string.component(entry, 'openat'), flags | always, mode)
      if (fd < 0) throw fail('openat', entry)
      return fd
    },
    openDirectoryAt: (dirFd, entry) => {
      const fd = libc.openat(dirFd, string.component(entry, 'openat'), directory, 0)
      if (fd < 0) throw fail('openat', entry)
      return fd
    },
    mkdirat: (dirFd, entry, mode) => {
      if (libc.mkdirat(dirFd, string.component(entry, 'mkdirat'), mode) < 0) throw fail('mkdirat', entry)
    },
  }
}

type Naming = 'symlinkat' | 'linkat' | 'unlinkat' | 'rmdirat' | 'renameat'

function bindNaming({ libc, string, fail }: Bench): Pick<EntryCalls, Naming> {
  const first = allocateCString()
  return {
    symlinkat: (target, dirFd, entry) => {
      const cTarget = first.path(target, 'symlinkat')
      if (libc.symlinkat(cTarget, dirFd, string.component(entry, 'symlinkat')) < 0) {
        throw fail('symlinkat', target, entry)
      }
    },
    linkat: (from, to) => {
      const old = first.component(from.name, 'linkat')
      if (libc.linkat(from.dirFd, old, to.dirFd, string.component(to.name, 'linkat'), 0) < 0) {
        throw fail('linkat', from.name, to.name)
      }
    },
    unlinkat: (dirFd, entry) => {
      if (libc.unlinkat(dirFd, string.component(entry, 'unlinkat'), 0) < 0) throw fail('unlinkat', entry)
    },
    rmdirat: (dirFd, entry) => {
      const name = string.component(entry, 'unlinkat')
      if (libc.unlinkat(dirFd, name, AT_REMOVEDIR) < 0) throw fail('unlinkat', entry)
    },
    renameat: (from, to) => {
      const old = first.component(from.name, 'renameat')
      if (libc.renameat(from.dirFd, old, to.dirFd, string.component(to.name, 'renameat')) < 0) {
        throw fail('renameat', from.name, to.name)
      }
    },
  }
}

function bindAttributes({ libc, string, fail }: Bench): Pick<EntryCalls, 'fchownat' | 'readlinkat'> {
  const target = Buffer.allocUnsafeSlow(LONGEST_LINK)
  return {
    fchownat: (dirFd, entry, uid, gid) => {
      const name = string.component(entry, 'fchownat')
      if (libc.fchownat(dirFd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) throw fail('fchownat', entry)
    },
    readlinkat: (dirFd, entry) => {
      const length = libc.readlinkat(dirFd, string.component(entry, 'readlinkat'), target, LONGEST_LINK)
      if (length < 0) throw fail('readlinkat', entry)
      return Buffer.from(target.subarray(0, length))
    },
  }
}

// The classic fchmodat always follows links, and C libraries before 2021 refuse to be told otherwise. So: the new
// call where there is one, else the entry is pinned with O_PATH and changed through /proc.
function bindFchmodat({ libc, string, fail }: Bench): EntryCalls['fchmodat'] {
  let missing = false
  const pinned = (dirFd: number, entry: Uint8Array, mode: number): void => {
    const pin = O_PATH | constants.O_NOFOLLOW | O_CLOEXEC
    const fd = libc.openat(dirFd, string.component(entry, 'fchmodat'), pin, 0)
    if (fd < 0) throw fail('fchmodat', entry)
    try {
      if (libc.chmod(Buffer.from(`/proc/self/fd/${fd}\0`), mode) < 0) throw fail('fchmodat', entry)
    } finally {
      libc.close(fd)
    }
  }
  return (dirFd, entry, mode) => {
    if (missing) return pinned(dirFd, entry, mode)
    const name = string.component(entry, 'fchmodat')
    if (Number(libc.syscall(SYS_FCHMODAT2, dirFd, name, mode, AT_SYMLINK_NOFOLLOW)) >= 0) return undefined
    const errno = libc.errno()
    // A container's system call filter may answer EPERM for a call it does not know.
    if (errno !== ENOSYS && errno !== EPERM) throw fail('fchmodat', entry)
    missing = errno === ENOSYS
    return pinned(dirFd, entry, mode)
  }
}

// mknodat as a system call: the C library before glibc 2.33 has no symbol for it.
function bindNodes({
  libc,
  string,
  fail,
}: Bench): Pick<EntryCalls, 'mknodat' | 'mkfifoat' | 'mknod' | 'mkfifo'> {
  const call = process.arch === 'x64' ? 259 : 33
  const make = (dirFd: number, name: Uint8Array, mode: number, dev: bigint): boolean => {
    // The kernel's own encoding has 32 bits; a number beyond them names no device it could make.
    if (dev < 0n || dev > 0xffff_ffffn) throw errnoError(EINVAL, { syscall: 'mknod' })
    return Number(libc.syscall(call, dirFd, name, mode, Number(dev))) >= 0
  }
  return {
    mknodat: (dirFd, entry, mode, dev) => {
      if (!make(dirFd, string.component(entry, 'mknodat'), mode, dev)) throw fail('mknodat', entry)
    },
    mkfifoat: (dirFd, entry, mode) => {
      if (libc.mkfifoat(dirFd, string.component(entry, 'mkfifoat'), mode) < 0) throw fail('mkfifoat', entry)
    },
    mknod: (path, mode, dev) => {
      if (!make(AT_FDCWD, string.path(path, 'mknod'), mode, dev)) throw fail('mknod', path)
    },
    mkfifo: (path, mode) => {
      if (libc.mkfifoat(AT_FDCWD, string.path(path, 'mkfifo'), mode) < 0) throw fail('mkfifo', path)
    },
  }
}
