import { nameToBytes } from '../format/byte-name.ts'
import type { Posix } from '../posix/posix.ts'
import { closeDescriptor } from './close-descriptor.ts'

/**
 * Open directories below one root, by their path within it ('' is the root, then '/a/b'). Each
 * component is opened from its parent's descriptor and never through a symbolic link, so a path put
 * in place of a directory by somebody else leads nowhere. Keeps the `capacity` last used ones open.
 */
export class DirectoryCache {
  readonly #posix: Posix
  readonly #rootFd: number
  readonly #capacity: number
  readonly #open = new Map<string, number>()

  /** The root's descriptor stays the caller's. */
  constructor(posix: Posix, rootFd: number, capacity = 64) {
    this.#posix = posix
    this.#rootFd = rootFd
    this.#capacity = capacity
  }

  /** The descriptor of a directory, valid until `capacity` others were asked for. Errors as openat(2). */
  open(path: string): number {
    if (path === '') return this.#rootFd
    const known = this.#open.get(path)
    if (known !== undefined) {
      this.#open.delete(path)
      this.#open.set(path, known)
      return known
    }
    const slash = path.lastIndexOf('/')
    const parent = this.open(path.slice(0, slash))
    const fd = this.#posix.openDirectoryAt(parent, nameToBytes(path.slice(slash + 1)))
    this.#keep(path, fd)
    return fd
  }

  /** Closes a directory that is about to be removed, and everything known below it. */
  forget(path: string): void {
    for (const [known, fd] of this.#open) {
      if (known !== path && !known.startsWith(`${path}/`)) continue
      this.#open.delete(known)
      closeDescriptor(fd)
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeDescriptor(fd)
    this.#open.clear()
  }

  #keep(path: string, fd: number): void {
    this.#open.set(path, fd)
    if (this.#open.size <= this.#capacity) return
    const [oldest] = this.#open
    if (oldest === undefined) return
    this.#open.delete(oldest[0])
    closeDescriptor(oldest[1])
  }
}
