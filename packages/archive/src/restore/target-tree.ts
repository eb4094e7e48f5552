import { constants, readdirSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameFromBytes, nameToBytes } from '../format/byte-name.ts'
import type { TreeNode } from '../format/tree.ts'
import type { FileStatus } from '../posix/file-status.ts'
import type { Posix } from '../posix/posix.ts'
import type { Rights } from './apply-metadata.ts'
import { type Existing, mayOverwrite, type Overwrite } from './decide-node.ts'
import { DirectoryCache } from './directory-cache.ts'

/** One directory of the snapshot and what became of it in the target. Lives until it was left and finished. */
export interface TargetDirectory {
  readonly parent: TargetDirectory | undefined
  /** Below the root: '' or '/a/b'. */
  readonly path: string
  readonly name: string
  readonly node: TreeNode | undefined
  readonly mtimeNs: bigint
  /** Counted among what is to be restored. */
  counted: boolean
  /** `fresh`: made by us, so nothing can be in it. `absent`: would be made, in a dry run. */
  state: 'pending' | 'fresh' | 'existing' | 'absent' | 'failed'
  /** New entries may get an ACL from it that the snapshot does not give them. */
  hasDefaultAcl: boolean
  /** Everything the snapshot has in it, selected or not; kept only where something may be deleted. */
  readonly names: Set<string> | undefined
  /** Something in it could not be restored or read: nothing in it is deleted. */
  incomplete: boolean
}

export interface TargetTreeOptions {
  readonly posix: Posix
  /** Undefined in a dry run whose target does not exist. */
  readonly rootFd: number | undefined
  readonly rights: Rights
  readonly overwrite: Overwrite
  readonly dryRun: boolean
  readonly deleteOthers: boolean
}

/**
 * The restore target as the main thread sees it. Every operation is relative to a directory opened
 * without following links; nothing below the root is ever reached by a path.
 */
export class TargetTree {
  readonly root: TargetDirectory
  readonly #options: TargetTreeOptions
  readonly #cache: DirectoryCache

  constructor(options: TargetTreeOptions) {
    this.#options = options
    this.#cache = new DirectoryCache(options.posix, options.rootFd ?? -1)
    const state = options.rootFd === undefined ? 'absent' : 'existing'
    this.root = { ...blankDirectory(options.deleteOthers), state }
    if (options.rootFd !== undefined) this.root.hasDefaultAcl = this.#hasDefaultAcl(options.rootFd)
  }

  child(parent: TargetDirectory, node: TreeNode, mtimeNs: bigint): TargetDirectory {
    const path = `${parent.path}/${node.name}`
    return { ...blankDirectory(this.#options.deleteOthers), parent, path, name: node.name, node, mtimeNs }
  }

  /** The directory's descriptor, valid until some dozens of others were asked for. It must be there. */
  fd(directory: TargetDirectory): number {
    return this.#cache.open(directory.path)
  }

  /** The same by path. */
  fdOf(path: string): number {
    return this.#cache.open(path)
  }

  /** Makes the directory, and those above it, if they are not there. Throws TargetUnwritable; again at each call. */
  ensure(directory: TargetDirectory): void {
    if (directory.state === 'failed') throw unusable(directory.path, 'it could not be made')
    if (directory.state !== 'pending' || directory.parent === undefined) return
    this.ensure(directory.parent)
    try {
      this.#enter(directory, directory.parent)
    } catch (cause) {
      directory.state = 'failed'
      if (cause instanceof HoldfastError) throw cause
      throw unusable(directory.path, cause instanceof Error ? cause.message : String(cause), cause)
    }
  }

  /** What stands under a name, or undefined. */
  status(directory: TargetDirectory, name: string): FileStatus | undefined {
    if (directory.state === 'fresh' || directory.state === 'absent') return undefined
    try {
      return this.#options.posix.fstatat(this.fd(directory), nameToBytes(name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** Names in a directory, as the file system gives them. */
  list(directory: TargetDirectory): readonly string[] {
    return readdirSync(`/proc/self/fd/${this.fd(directory)}`, { encoding: 'buffer' }).map(nameFromBytes)
  }

  /** Removes what stands under a name, so that something else can: a directory only when it is empty. */
  clear(directory: TargetDirectory, name: string): void {
    const { posix } = this.#options
    const fd = this.fd(directory)
    const bytes = nameToBytes(name)
    try {
      posix.unlinkat(fd, bytes)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT') return
      if (code !== 'EISDIR' && code !== 'EPERM') throw error
      this.#cache.forget(`${directory.path}/${name}`)
      posix.rmdirat(fd, bytes)
    }
  }

  /** Closes what is known at and below a path that is about to go. */
  forget(path: string): void {
    this.#cache.forget(path)
  }

  close(): void {
    this.#cache.close()
  }

  #enter(directory: TargetDirectory, parent: TargetDirectory): void {
    const { posix, dryRun } = this.#options
    if (parent.state === 'absent') {
      directory.state = 'absent'
      return
    }
    const status = this.status(parent, directory.name)
    if (status !== undefined && isDirectory(status)) return this.#enterExisting(directory, status)
    if (status !== undefined) this.#refuseIfKept(directory, status)
    if (dryRun) {
      directory.state = 'absent'
      return
    }
    if (status !== undefined) this.clear(parent, directory.name)
    posix.mkdirat(this.fd(parent), nameToBytes(directory.name), 0o700)
    directory.state = 'fresh'
    directory.hasDefaultAcl = parent.hasDefaultAcl
  }

  #enterExisting(directory: TargetDirectory, status: FileStatus): void {
    const { posix, rights, dryRun } = this.#options
    directory.state = 'existing'
    const parentFd = this.fd(directory.parent ?? this.root)
    const locked = rights.uid !== 0 && status.uid === rights.uid && (status.mode & 0o700) !== 0o700
    // its mode is set again when it is left
    if (locked && !dryRun)
      posix.fchmodat(parentFd, nameToBytes(directory.name), (status.mode & 0o7777) | 0o700)
    directory.hasDefaultAcl = this.#hasDefaultAcl(this.fd(directory))
  }

  #refuseIfKept(directory: TargetDirectory, status: FileStatus): void {
    if (mayOverwrite(directory.mtimeNs, existingOf(status), this.#options.overwrite)) return
    throw unusable(directory.path, `something that is no directory is there, and the policy keeps it`)
  }

  #hasDefaultAcl(fd: number): boolean {
    try {
      return this.#options.posix.flistXattrs(fd).includes('system.posix_acl_default')
    } catch {
      return false
    }
  }
}

/** The part of a file's status that decisions need. */
export function existingOf(status: FileStatus): Existing {
  const kind = status.mode & constants.S_IFMT
  const type = kind === constants.S_IFREG ? 'file' : kind === constants.S_IFDIR ? 'dir' : 'other'
  return { type, size: status.size, mtimeNs: status.mtimeNs, links: status.nlink }
}

export function isDirectory(status: FileStatus): boolean {
  return (status.mode & constants.S_IFMT) === constants.S_IFDIR
}

function blankDirectory(deleteOthers: boolean): TargetDirectory {
  return {
    parent: undefined,
    path: '',
    name: '',
    node: undefined,
    mtimeNs: 0n,
    counted: false,
    state: 'pending',
    hasDefaultAcl: false,
    names: deleteOthers ? new Set() : undefined,
    incomplete: false,
  }
}

function unusable(path: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('TargetUnwritable', `directory ${path || '/'} cannot be restored into: ${why}`, {
    place: path || '/',
    guidance: 'Restore into another target, or move what is in the way.',
    cause,
  })
}
