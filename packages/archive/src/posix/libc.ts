import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { HoldfastError } from '@holdfast/contract'

/**
 * The C library calls we need and node:fs lacks, bound once per thread. Every function returns what C returns
 * (-1 on failure, then `errno()` tells why). Byte arrays are passed in place: the callee reads and writes them
 * directly, so strings must be NUL-terminated by the caller.
 */
export interface Libc {
  readonly errno: () => number
  /** Error number to symbol (`2` to `ENOENT`), for the numbers libuv does not name. */
  readonly errnoNames: ReadonlyMap<number, string>
  readonly llistxattr: (path: Uint8Array, list: Uint8Array, size: number) => number
  readonly lgetxattr: (path: Uint8Array, name: Uint8Array, value: Uint8Array, size: number) => number
  readonly lsetxattr: SetXattr<Uint8Array>
  readonly lremovexattr: (path: Uint8Array, name: Uint8Array) => number
  readonly flistxattr: (fd: number, list: Uint8Array, size: number) => number
  readonly fgetxattr: (fd: number, name: Uint8Array, value: Uint8Array, size: number) => number
  readonly fsetxattr: SetXattr<number>
  readonly fremovexattr: (fd: number, name: Uint8Array) => number
  readonly openat: (dirFd: number, name: Uint8Array, flags: number, mode: number) => number
  readonly mkdirat: (dirFd: number, name: Uint8Array, mode: number) => number
  readonly symlinkat: (target: Uint8Array, dirFd: number, name: Uint8Array) => number
  readonly linkat: LinkAt
  readonly unlinkat: (dirFd: number, name: Uint8Array, flags: number) => number
  readonly renameat: (oldFd: number, oldName: Uint8Array, newFd: number, newName: Uint8Array) => number
  readonly fchownat: FchownAt
  readonly chmod: (path: Uint8Array, mode: number) => number
  readonly utimensat: (dirFd: number, name: Uint8Array, times: BigInt64Array, flags: number) => number
  readonly futimens: (fd: number, times: BigInt64Array) => number
  readonly readlinkat: (dirFd: number, name: Uint8Array, target: Uint8Array, size: number) => number
  readonly statx: Statx
  readonly mkfifoat: (dirFd: number, name: Uint8Array, mode: number) => number
  readonly lseek: (fd: number, offset: number, whence: number) => number | bigint
  readonly fallocate: (fd: number, mode: number, offset: number, length: number) => number
  readonly posixFadvise: (fd: number, offset: number, length: number, advice: number) => number
  readonly ioctl: (fd: number, request: number, out: Uint8Array) => number
  readonly close: (fd: number) => number
  /** syscall(2) for what older C libraries do not wrap: the call's number, a directory, a path, two numbers. */
  readonly syscall: Syscall<number>
  /** The same with memory and its size after the path. */
  readonly syscallOnMemory: Syscall<Uint8Array>
  readonly getpwuid: FindEntry<number>
  readonly getgrgid: FindEntry<number>
  readonly getpwnam: FindEntry<Uint8Array>
  readonly getgrnam: FindEntry<Uint8Array>
  /** Reads the NUL-terminated UTF-8 string at an address the C library gave us. */
  readonly stringAt: (address: bigint) => string
}

/** A C function; a labelled tuple, because C's signatures are longer than ours may be. */
type Call<Arguments extends readonly unknown[], Result = number> = (...args: Arguments) => Result
type SetXattr<On> = Call<[on: On, name: Uint8Array, value: Uint8Array, size: number, flags: number]>
type LinkAt = Call<[oldFd: number, old: Uint8Array, newFd: number, name: Uint8Array, flags: number]>
type FchownAt = Call<[dirFd: number, name: Uint8Array, uid: number, gid: number, flags: number]>
type Statx = Call<[dirFd: number, name: Uint8Array, flags: number, mask: number, out: Uint8Array]>
type Syscall<Third> = Call<
  [call: number, dirFd: number, path: Uint8Array, third: Third, fourth: number],
  number | bigint
>
type FindEntry<Key> = Call<
  [key: Key, entry: Uint8Array, strings: Uint8Array, size: number, found: BigUint64Array]
>

interface Library {
  func(prototype: string): unknown
}

/** The part of koffi used here; its own types are written with `any`. */
interface Koffi {
  load(path: string | null): Library
  errno(): number
  readonly os: { readonly errno: Readonly<Record<string, number>> }
  readonly decode: { string(address: bigint): string }
}

let bound: Libc | undefined

/**
 * Binds the C library of this process, once per thread. Throws `Unsupported` when this is not 64-bit
 * little-endian Linux (whose structure layouts and constants are used) or koffi has no build for it.
 */
export function openLibc(): Libc {
  bound ??= bind()
  return bound
}

function bind(): Libc {
  const sixtyFour = ['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch)
  if (process.platform !== 'linux' || !sixtyFour || endianness() !== 'LE') {
    throw unsupported(`found ${process.platform} on ${process.arch}, expected 64-bit Linux`)
  }
  const koffi = loadKoffi()
  const library = loadLibrary(koffi)
  const symbols = bindSymbols(library)
  return {
    ...symbols,
    errno: () => koffi.errno(),
    errnoNames: new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name])),
    stringAt: (address) => koffi.decode.string(address),
  }
}

// Loaded on first use only: `holdfast --help` and machines without koffi must not pay or fail for it.
function loadKoffi(): Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi
  } catch (cause) {
    throw unsupported('the koffi module did not load', cause)
  }
}

function loadLibrary(koffi: Koffi): Library {
  try {
    return koffi.load('libc.so.6')
  } catch {
    // Not glibc: musl is already part of this process under whatever name it was linked.
  }
  try {
    return koffi.load(null)
  } catch (cause) {
    throw unsupported('the C library of this process could not be opened', cause)
  }
}

function unsupported(found: string, cause?: unknown): HoldfastError {
  return new HoldfastError('Unsupported', `System calls beyond node:fs are not available here: ${found}.`, {
    guidance: 'Run on 64-bit Linux with the optional native dependency koffi installed.',
    retry: 'never',
    cause,
  })
}

type Symbols = Omit<Libc, 'errno' | 'errnoNames' | 'stringAt'>

// openat, ioctl and syscall are variadic in C. Both Linux calling conventions pass their integer and pointer
// arguments where fixed ones go, so plain prototypes are right and much faster than koffi's variadic calls.
const ENTRY_REST = 'void *entry, void *strings, size_t size, void *found'
const PROTOTYPES: Readonly<Record<keyof Symbols, string>> = {
  llistxattr: 'int64_t llistxattr(const void *path, void *list, size_t size)',
  lgetxattr: 'int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)',
  lsetxattr: 'int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)',
  lremovexattr: 'int lremovexattr(const void *path, const void *name)',
  flistxattr: 'int64_t flistxattr(int fd, void *list, size_t size)',
  fgetxattr: 'int64_t fgetxattr(int fd, const void *name, void *value, size_t size)',
  fsetxattr: 'int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)',
  fremovexattr: 'int fremovexattr(int fd, const void *name)',
  openat: 'int openat(int dirfd, const void *name, int flags, uint32_t mode)',
  mkdirat: 'int mkdirat(int dirfd, const void *name, uint32_t mode)',
  symlinkat: 'int symlinkat(const void *target, int dirfd, const void *name)',
  linkat: 'int linkat(int old_dirfd, const void *old, int dirfd, const void *name, int flags)',
  unlinkat: 'int unlinkat(int dirfd, const void *name, int flags)',
  renameat: 'int renameat(int old_dirfd, const void *old, int dirfd, const void *name)',
  fchownat: 'int fchownat(int dirfd, const void *name, uint32_t uid, uint32_t gid, int flags)',
  chmod: 'int chmod(const void *path, uint32_t mode)',
  utimensat: 'int utimensat(int dirfd, const void *name, const void *times, int flags)',
  futimens: 'int futimens(int fd, const void *times)',
  readlinkat: 'int64_t readlinkat(int dirfd, const void *name, void *target, size_t size)',
  statx: 'int statx(int dirfd, const void *name, int flags, uint32_t mask, void *out)',
  mkfifoat: 'int mkfifoat(int dirfd, const void *name, uint32_t mode)',
  lseek: 'int64_t lseek(int fd, int64_t offset, int whence)',
  fallocate: 'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  posixFadvise: 'int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)',
  ioctl: 'int ioctl(int fd, unsigned long request, void *out)',
  close: 'int close(int fd)',
  syscall: 'long syscall(long call, long dirfd, const void *path, long third, long fourth)',
  syscallOnMemory: 'long syscall(long call, long dirfd, const void *path, void *third, long fourth)',
  getpwuid: `int getpwuid_r(uint32_t uid, ${ENTRY_REST})`,
  getgrgid: `int getgrgid_r(uint32_t gid, ${ENTRY_REST})`,
  getpwnam: `int getpwnam_r(const void *name, ${ENTRY_REST})`,
  getgrnam: `int getgrnam_r(const void *name, ${ENTRY_REST})`,
}

function bindSymbols(library: Library): Symbols {
  const bound = Object.entries(PROTOTYPES).map(([name, prototype]) => {
    try {
      return [name, library.func(prototype)] as const
    } catch (cause) {
      throw unsupported(`the C library lacks '${prototype}'`, cause)
    }
  })
  return Object.fromEntries(bound) as unknown as Symbols
}
