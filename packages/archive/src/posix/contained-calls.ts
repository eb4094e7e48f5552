import { closeSync, constants } from 'node:fs'
import { allocateCString } from './c-string.ts'
import type { EntryCalls } from './entry-calls.ts'
import { errnoError } from './errno-error.ts'
import type { Libc } from './libc.ts'

/** Opening by a path of several components that must stay below a directory. */
export interface ContainedCalls {
  /**
   * Opens `path` (relative, components separated by `/`) below `dirFd` without following any symbolic link and
   * without `..`: ELOOP or ENOTDIR for a link in the way, EINVAL for an absolute path, an empty one, or a `.`,
   * `..` or empty component. One openat2 call where the kernel has it, else one openat per component.
   */
  openBeneath(dirFd: number, path: Uint8Array, flags: number, mode?: number): number
}

// The same number everywhere; Linux 5.6.
const SYS_OPENAT2 = 437
const O_CLOEXEC = 0x80000
const RESOLVE_NO_MAGICLINKS = 0x02
const RESOLVE_NO_SYMLINKS = 0x04
const RESOLVE_BENEATH = 0x08
const EPERM = 1
const EAGAIN = 11
const EINVAL = 22
const ENOSYS = 38
const HOW_BYTES = 24
const TRIES = 8

export function bindContainedCalls(libc: Libc, entries: EntryCalls): ContainedCalls {
  const string = allocateCString()
  // struct open_how: flags, mode, resolve, 64 bits each.
  const how = Buffer.alloc(HOW_BYTES)
  how.writeUInt32LE(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, 16)
  let missing = false
  const open = (dirFd: number, path: Uint8Array, flags: number, mode: number): number => {
    how.writeUInt32LE((flags | constants.O_NOFOLLOW | O_CLOEXEC) >>> 0, 0)
    // The kernel refuses a mode where nothing can be created.
    how.writeUInt32LE((flags & constants.O_CREAT) === 0 ? 0 : mode & 0o7777, 8)
    const name = string.path(path, 'openat2')
    return Number(libc.syscallOnMemory(SYS_OPENAT2, dirFd, name, how, HOW_BYTES))
  }
  return {
    openBeneath: (dirFd, path, flags, mode = 0) => {
      const names = splitComponents(path)
      for (let tries = 0; !missing && tries < TRIES; tries++) {
        const fd = open(dirFd, path, flags, mode)
        if (fd >= 0) return fd
        const errno = libc.errno()
        // EAGAIN: a rename or mount elsewhere raced with the walk, and the kernel could not be sure.
        if (errno === EAGAIN) continue
        missing = errno === ENOSYS
        // EPERM may be a container's filter that does not know the call; the slow way finds out.
        if (missing || errno === EPERM) break
        throw errnoError(errno, { syscall: 'openat2', path, errnoNames: libc.errnoNames })
      }
      return walk(entries, { dirFd, names, flags, mode })
    },
  }
}

interface Walk {
  readonly dirFd: number
  readonly names: readonly Uint8Array[]
  readonly flags: number
  readonly mode: number
}

function walk(entries: EntryCalls, { dirFd, names, flags, mode }: Walk): number {
  let at = dirFd
  try {
    for (const name of names.slice(0, -1)) {
      const next = entries.openDirectoryAt(at, name)
      if (at !== dirFd) closeSync(at)
      at = next
    }
    return entries.openat(at, names.at(-1) ?? Buffer.alloc(0), flags, mode)
  } finally {
    if (at !== dirFd) closeSync(at)
  }
}

function splitComponents(path: Uint8Array): readonly Uint8Array[] {
  const names: Uint8Array[] = []
  let start = 0
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && path[i] !== 0x2f) continue
    const name = path.subarray(start, i)
    if (name.length <= 2 && name.every((byte) => byte === 0x2e)) {
      throw errnoError(EINVAL, { syscall: 'openat2', path })
    }
    names.push(name)
    start = i + 1
  }
  return names
}
