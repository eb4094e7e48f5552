import { nameFromBytes } from '../format/byte-name.ts'
import { allocateCString } from './c-string.ts'
import { errnoError } from './errno-error.ts'
import type { Libc } from './libc.ts'

/**
 * Extended attributes, ACLs included (`system.posix_acl_access`, `system.posix_acl_default`). Names are full
 * (`user.comment`), surrogate-escaped where not UTF-8. Nothing here follows a symbolic link in the last
 * component. Failures are errno-shaped errors: `ENODATA` (no such attribute), `ENOTSUP` (the file system has
 * none, or not of this kind), `EPERM`, `ENOSPC`.
 */
export interface XattrCalls {
  /** Attribute names in the kernel's order. A file system without attributes has none: that is no error. */
  listXattrs(path: Uint8Array): readonly string[]
  getXattr(path: Uint8Array, name: string): Buffer
  setXattr(path: Uint8Array, name: string, value: Uint8Array): void
  removeXattr(path: Uint8Array, name: string): void
  flistXattrs(fd: number): readonly string[]
  fgetXattr(fd: number, name: string): Buffer
  fsetXattr(fd: number, name: string, value: Uint8Array): void
  fremoveXattr(fd: number, name: string): void
  /** The `At` forms name an entry of an open directory, of any type; they need /proc mounted (else `ENOENT`). */
  listXattrsAt(dirFd: number, entry: Uint8Array): readonly string[]
  getXattrAt(dirFd: number, entry: Uint8Array, name: string): Buffer
  setXattrAt(
    dirFd: number,
    entry: Uint8Array,
    xattr: { readonly name: string; readonly value: Uint8Array },
  ): void
  removeXattrAt(dirFd: number, entry: Uint8Array, name: string): void
}

// Linux's XATTR_LIST_MAX and XATTR_SIZE_MAX.
const LARGEST = 65536
const ENOTSUP = 95
const NONE: readonly string[] = Object.freeze([])

export function bindXattrCalls(libc: Libc): XattrCalls {
  const onPath = bindXattrsOnPaths(libc)
  return { ...onPath, ...bindXattrsOnDescriptors(libc), ...bindXattrsAt(onPath) }
}

type OnPaths = Pick<XattrCalls, 'listXattrs' | 'getXattr' | 'setXattr' | 'removeXattr'>

function bindXattrsOnPaths(libc: Libc): OnPaths {
  const pathString = allocateCString()
  const nameString = allocateCString()
  const answer = Buffer.allocUnsafeSlow(LARGEST)
  const fail = (syscall: string, path: Uint8Array): Error =>
    errnoError(libc.errno(), { syscall, path, errnoNames: libc.errnoNames })
  return {
    listXattrs: (path) => {
      const length = libc.llistxattr(pathString.path(path, 'llistxattr'), answer, LARGEST)
      if (length > 0) return splitNames(answer, length)
      if (length === 0 || libc.errno() === ENOTSUP) return NONE
      throw fail('llistxattr', path)
    },
    getXattr: (path, name) => {
      const cName = nameString.text(name, 'lgetxattr')
      const length = libc.lgetxattr(pathString.path(path, 'lgetxattr'), cName, answer, LARGEST)
      if (length < 0) throw fail('lgetxattr', path)
      return Buffer.from(answer.subarray(0, length))
    },
    setXattr: (path, name, value) => {
      const cName = nameString.text(name, 'lsetxattr')
      const done = libc.lsetxattr(pathString.path(path, 'lsetxattr'), cName, value, value.length, 0)
      if (done < 0) throw fail('lsetxattr', path)
    },
    removeXattr: (path, name) => {
      const cName = nameString.text(name, 'lremovexattr')
      if (libc.lremovexattr(pathString.path(path, 'lremovexattr'), cName) < 0)
        throw fail('lremovexattr', path)
    },
  }
}

function bindXattrsOnDescriptors(
  libc: Libc,
): Pick<XattrCalls, 'flistXattrs' | 'fgetXattr' | 'fsetXattr' | 'fremoveXattr'> {
  const nameString = allocateCString()
  const answer = Buffer.allocUnsafeSlow(LARGEST)
  const fail = (syscall: string): Error => errnoError(libc.errno(), { syscall, errnoNames: libc.errnoNames })
  return {
    flistXattrs: (fd) => {
      const length = libc.flistxattr(fd, answer, LARGEST)
      if (length > 0) return splitNames(answer, length)
      if (length === 0 || libc.errno() === ENOTSUP) return NONE
      throw fail('flistxattr')
    },
    fgetXattr: (fd, name) => {
      const length = libc.fgetxattr(fd, nameString.text(name, 'fgetxattr'), answer, LARGEST)
      if (length < 0) throw fail('fgetxattr')
      return Buffer.from(answer.subarray(0, length))
    },
    fsetXattr: (fd, name, value) => {
      const done = libc.fsetxattr(fd, nameString.text(name, 'fsetxattr'), value, value.length, 0)
      if (done < 0) throw fail('fsetxattr')
    },
    fremoveXattr: (fd, name) => {
      if (libc.fremovexattr(fd, nameString.text(name, 'fremovexattr')) < 0) throw fail('fremovexattr')
    },
  }
}

// There is no lsetxattrat before Linux 6.13. /proc/self/fd/N is the open directory itself, however the path to it
// changed since, and l*xattr does not follow the entry: together they are as contained as a real *at call.
function bindXattrsAt(
  calls: OnPaths,
): Pick<XattrCalls, 'listXattrsAt' | 'getXattrAt' | 'setXattrAt' | 'removeXattrAt'> {
  const entryString = allocateCString()
  const locate = (dirFd: number, entry: Uint8Array, syscall: string): Buffer => {
    entryString.component(entry, syscall)
    return Buffer.concat([Buffer.from(`/proc/self/fd/${dirFd}/`), entry])
  }
  return {
    listXattrsAt: (dirFd, entry) => calls.listXattrs(locate(dirFd, entry, 'llistxattr')),
    getXattrAt: (dirFd, entry, name) => calls.getXattr(locate(dirFd, entry, 'lgetxattr'), name),
    setXattrAt: (dirFd, entry, { name, value }) =>
      calls.setXattr(locate(dirFd, entry, 'lsetxattr'), name, value),
    removeXattrAt: (dirFd, entry, name) => calls.removeXattr(locate(dirFd, entry, 'lremovexattr'), name),
  }
}

function splitNames(list: Buffer, length: number): readonly string[] {
  const names: string[] = []
  let start = 0
  let ascii = true
  for (let i = 0; i < length; i++) {
    const byte = list[i] as number
    if (byte >= 0x80) ascii = false
    if (byte !== 0) continue
    names.push(ascii ? list.toString('latin1', start, i) : nameFromBytes(list.subarray(start, i)))
    start = i + 1
    ascii = true
  }
  return names
}
