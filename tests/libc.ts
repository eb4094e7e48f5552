/**
 * The few system calls the tests need and node:fs lacks. Deliberately apart from the product's own
 * binding, so that a mistake there is not repeated by the test that looks for it. Linux only.
 */
import koffi from 'koffi'

export interface Libc {
  readonly mknod: (path: Buffer, mode: number, device: bigint) => void
  readonly mkfifo: (path: Buffer, mode: number) => void
  /** Both times to the nanosecond, never following a last symlink; before 1970 is negative. */
  readonly setTimes: (path: Buffer, atimeNs: bigint, mtimeNs: bigint) => void
  readonly setXattr: (path: Buffer, name: string, value: Uint8Array) => void
  readonly removeXattr: (path: Buffer, name: string) => void
  readonly listXattrs: (path: Buffer) => readonly string[]
  readonly getXattr: (path: Buffer, name: string) => Buffer
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const ENOTSUP = 95
const S_IFIFO = 0o010000

export function openLibc(): Libc {
  const lib = koffi.load('libc.so.6')
  const call = (name: string, result: string, args: readonly string[]) => {
    const native = lib.func(name, result, [...args])
    return (...values: readonly unknown[]): number => Number(native(...values))
  }
  const mknod = call('mknod', 'int', ['void *', 'uint32_t', 'uint64_t'])
  const utimensat = call('utimensat', 'int', ['int', 'void *', 'void *', 'int'])
  const set = call('lsetxattr', 'int', ['void *', 'str', 'void *', 'size_t', 'int'])
  const remove = call('lremovexattr', 'int', ['void *', 'str'])
  const list = call('llistxattr', 'int64_t', ['void *', 'void *', 'size_t'])
  const get = call('lgetxattr', 'int64_t', ['void *', 'str', 'void *', 'size_t'])
  const makeNode = (path: Buffer, mode: number, device: bigint): void =>
    must(mknod(terminated(path), mode, device), 'mknod', path)
  return {
    mknod: makeNode,
    mkfifo: (path, mode) => makeNode(path, S_IFIFO | mode, 0n),
    setTimes: (path, atimeNs, mtimeNs) => {
      const times = Buffer.alloc(32)
      writeTimespec(times, 0, atimeNs)
      writeTimespec(times, 16, mtimeNs)
      must(utimensat(AT_FDCWD, terminated(path), times, AT_SYMLINK_NOFOLLOW), 'utimensat', path)
    },
    setXattr: (path, name, value) =>
      must(set(terminated(path), name, Buffer.from(value), value.length, 0), `lsetxattr ${name}`, path),
    removeXattr: (path, name) => must(remove(terminated(path), name), `lremovexattr ${name}`, path),
    listXattrs: (path) => {
      const names = Buffer.alloc(65536)
      const length = list(terminated(path), names, names.length)
      if (length < 0 && koffi.errno() === ENOTSUP) return []
      must(length, 'llistxattr', path)
      return names.toString('utf8', 0, length).split('\0').slice(0, -1).sort()
    },
    getXattr: (path, name) => {
      const value = Buffer.alloc(65536)
      const length = get(terminated(path), name, value, value.length)
      must(length, `lgetxattr ${name}`, path)
      return value.subarray(0, length)
    },
  }
}

function must(result: number, call: string, path: Buffer): void {
  if (result < 0) throw new Error(`${call} ${path.toString('latin1')}: errno ${koffi.errno()}`)
}

function terminated(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.of(0)])
}

function writeTimespec(into: Buffer, at: number, ns: bigint): void {
  const second = 1_000_000_000n
  const fraction = ((ns % second) + second) % second
  into.writeBigInt64LE((ns - fraction) / second, at)
  into.writeBigInt64LE(fraction, at + 8)
}
