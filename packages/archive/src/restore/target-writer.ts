import { constants, ftruncateSync, writeSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameToBytes } from '../format/byte-name.ts'
import type { Posix } from '../posix/posix.ts'
import { applyMetadata, type MetadataProblem, type Rights } from './apply-metadata.ts'
import { closeDescriptor } from './close-descriptor.ts'
import { DirectoryCache } from './directory-cache.ts'
import { EXISTING, type JobFiles, ONE_SHOT, REMOVE_OTHERS, SPARSE, ZERO_FILLED } from './restore-job.ts'
import { sparseRuns } from './sparse-runs.ts'

const OPEN_FILES = 32
const { O_CREAT, O_EXCL, O_WRONLY } = constants

export interface TargetWriterOptions {
  readonly posix: Posix
  readonly rootFd: number
  readonly rights: Rights
}

/** Where a blob goes. */
export interface BlobTarget {
  readonly files: JobFiles
  readonly file: number
  readonly offset: number
}

/**
 * Writes verified bytes into files below one root. Holds a few open files and directories; one per
 * thread. Nothing is synced: after a power cut a restore is run again, and compares what it finds.
 */
export class TargetWriter {
  readonly #posix: Posix
  readonly #rights: Rights
  readonly #directories: DirectoryCache
  readonly #files = new Map<string, number>()
  /** Bytes written so far, holes not counted. */
  bytesWritten = 0

  constructor({ posix, rootFd, rights }: TargetWriterOptions) {
    this.#posix = posix
    this.#rights = rights
    this.#directories = new DirectoryCache(posix, rootFd)
  }

  /** Writes one blob to one place; finishes the file if it has no other blob. Throws what the system throws. */
  write({ files, file, offset }: BlobTarget, plain: Uint8Array): readonly MetadataProblem[] {
    const flags = files.flags[file] ?? 0
    if ((flags & ONE_SHOT) !== 0) return this.#writeWhole(files, file, plain)
    this.#writeAt(this.#fileFor(files, file), plain, offset, flags)
    return []
  }

  close(): void {
    for (const fd of this.#files.values()) closeDescriptor(fd)
    this.#files.clear()
    this.#directories.close()
  }

  #writeWhole(files: JobFiles, file: number, plain: Uint8Array): readonly MetadataProblem[] {
    const flags = files.flags[file] ?? 0
    const dirFd = this.#directories.open(files.directories[files.directory[file] ?? 0] ?? '')
    const name = nameToBytes(files.names[file] ?? '')
    const exists = (flags & EXISTING) !== 0
    const fd = this.#posix.openat(dirFd, name, exists ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL, 0o600)
    let complete = false
    try {
      if (exists || (flags & SPARSE) !== 0) ftruncateSync(fd, plain.length)
      this.#writeAt(fd, plain, 0, exists ? flags : flags | ZERO_FILLED)
      const problems = applyMetadata(this.#posix, fd, metadataOf(files, file), this.#rights)
      complete = true
      return problems
    } finally {
      closeDescriptor(fd)
      if (!complete && !exists) this.#posix.unlinkat(dirFd, name)
    }
  }

  #writeAt(fd: number, plain: Uint8Array, offset: number, flags: number): void {
    if ((flags & SPARSE) === 0) return this.#writeAll(fd, plain, offset)
    for (const { start, end, zero } of sparseRuns(plain, offset)) {
      if (!zero) this.#writeAll(fd, plain.subarray(start, end), offset + start)
      else if ((flags & ZERO_FILLED) === 0) this.#punch(fd, plain.subarray(start, end), offset + start)
    }
  }

  #punch(fd: number, zeros: Uint8Array, offset: number): void {
    try {
      this.#posix.punchHole(fd, offset, zeros.length)
    } catch (error) {
      if (!['ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? ''))
        throw error
      this.#writeAll(fd, zeros, offset)
    }
  }

  #writeAll(fd: number, bytes: Uint8Array, offset: number): void {
    for (let done = 0; done < bytes.length; ) {
      const written = writeSync(fd, bytes, done, bytes.length - done, offset + done)
      if (written === 0)
        throw new HoldfastError('TargetUnwritable', 'the system wrote nothing and gave no reason')
      done += written
    }
    this.bytesWritten += bytes.length
  }

  #fileFor(files: JobFiles, file: number): number {
    const directory = files.directories[files.directory[file] ?? 0] ?? ''
    const name = files.names[file] ?? ''
    const key = `${directory}/${name}`
    const known = this.#files.get(key)
    if (known !== undefined) return known
    const fd = this.#posix.openat(this.#directories.open(directory), nameToBytes(name), O_WRONLY)
    this.#files.set(key, fd)
    if (this.#files.size > OPEN_FILES) {
      const [oldest] = this.#files
      if (oldest !== undefined) {
        this.#files.delete(oldest[0])
        closeDescriptor(oldest[1])
      }
    }
    return fd
  }
}

function metadataOf(files: JobFiles, file: number) {
  return {
    uid: files.uid[file] ?? 0,
    gid: files.gid[file] ?? 0,
    mode: files.mode[file] ?? 0,
    atimeNs: files.times[2 * file] ?? 0n,
    mtimeNs: files.times[2 * file + 1] ?? 0n,
    xattrs: files.xattrs.get(file) ?? [],
    removeOthers: ((files.flags[file] ?? 0) & REMOVE_OTHERS) !== 0,
  }
}
