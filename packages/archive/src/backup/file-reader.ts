import { type BigIntStats, closeSync, fstatSync, lstatSync, readSync } from 'node:fs'
import { isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import { decodeTree, encodeNode, type TreeNode } from '../format/tree.ts'
import { KERNEL_HEAP } from '../kernel/kernel.ts'
import type { Accounts } from '../posix/accounts.ts'
import type { Posix } from '../posix/posix.ts'
import type { IdSet } from '../repository/id-set.ts'
import {
  type BackupJob,
  ENTRY_LARGE,
  ENTRY_MODIFIED,
  ENTRY_NEW,
  ENTRY_OTHER,
  ENTRY_SKIPPED,
  ENTRY_UNCHANGED,
  type EntryProblem,
  type FilesResult,
  type ReadingRules,
} from './backup-job.ts'
import { type ChunkReader, LARGE_FILE_BYTES, openToRead } from './chunk-reader.ts'
import { isUnchanged } from './is-unchanged.ts'
import { createNodeMaker, fsPath, type NodeMaker } from './stat-node.ts'

export interface FileReaderParts {
  readonly chunks: ChunkReader
  readonly known: IdSet
  readonly rules: ReadingRules
  readonly posix: Posix | undefined
  readonly accounts: Accounts
  readonly charge: (stage: string, since: number) => void
}

interface Entry {
  readonly node: TreeNode | null
  readonly code: number
  readonly size: number
  /** The node is, member for member, the one of the parent snapshot. */
  readonly identical?: boolean
}

const SKIPPED: Entry = { node: null, code: ENTRY_SKIPPED, size: 0 }

/** An entry and what is known of it before it is looked at. */
interface Candidate {
  readonly name: string
  readonly path: string
  /** `f` where the directory says it is a regular file. */
  readonly kind: string
  /** Its node in the parent snapshot. */
  readonly before: TreeNode | undefined
}

/** Files whose stat is compared again after reading; smaller ones are read in one call. */
const RECHECK_BYTES = 64 * 1024

/** Stores the entries of directories that are not directories themselves. One per thread. */
export class FileReader {
  readonly #parts: FileReaderParts
  readonly #nodes: NodeMaker
  readonly #id = Buffer.alloc(32)
  #problems: EntryProblem[] = []

  constructor(parts: FileReaderParts) {
    this.#parts = parts
    this.#nodes = createNodeMaker(parts.rules, parts, (path, message) => this.#note(path, message))
  }

  /** Stores the entries of one directory; what fails is told per entry and never ends the rest. */
  read(job: Extract<BackupJob, { kind: 'files' }>): FilesResult {
    this.#problems = []
    const { directory, names, kinds, whole } = job
    const parent = this.#readParent(directory, job.parentTree)
    const prefix = directory === '/' ? '/' : `${directory}/`
    const read = names.map((name, i) =>
      this.#tryEntry({ name, path: prefix + name, kind: kinds.charAt(i), before: parent?.get(name) }),
    )
    const entries = new Float64Array(names.length * 3)
    const identical = whole && parent?.size === names.length && read.every((entry) => entry.identical)
    const since = performance.now()
    const encoded = createNodeBuffer(identical ? 0 : names.length)
    for (const [i, { node, code, size }] of read.entries()) {
      entries.set([identical || node === null ? 0 : encoded.add(encodeNode(node)), code, size], i * 3)
    }
    this.#parts.charge('describe', since)
    return { identical, nodes: encoded.take(), entries, problems: this.#problems }
  }

  #tryEntry(candidate: Candidate): Entry {
    try {
      return this.#readEntry(candidate)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).errno === undefined) throw error
      this.#problems.push({ path: candidate.path, fatal: true, message: (error as Error).message })
      return SKIPPED
    }
  }

  #readEntry(candidate: Candidate): Entry {
    const { name, path, kind, before } = candidate
    // without a parent to compare with, opening tells as much as lstat would
    if (kind === 'f' && before === undefined) return this.#readRegular(candidate)
    const since = performance.now()
    const stat = lstatSync(fsPath(path), { bigint: true })
    this.#parts.charge('stat', since)
    if (!stat.isFile()) return this.#describeOther(name, path, stat)
    if (before === undefined || !isUnchanged(before, stat, this.#parts.rules))
      return this.#readRegular(candidate)
    const isStored = before.content?.every((id) => this.#isStored(id)) ?? before.size === 0
    if (isStored) return this.#keep(path, before, stat)
    this.#note(path, 'parts of it are missing from the repository; it is stored again')
    return this.#readRegular(candidate)
  }

  #readRegular({ name, path, before }: Candidate): Entry {
    const { charge, rules } = this.#parts
    const since = performance.now()
    const fd = openToRead(path)
    try {
      const stat = fstatSync(fd, { bigint: true })
      charge('open', since)
      if (!stat.isFile()) return this.#describeOther(name, path, stat)
      const size = Number(stat.size)
      if (size > rules.maxFileBytes) return SKIPPED
      const code = before === undefined ? ENTRY_NEW : ENTRY_MODIFIED
      const node = size > LARGE_FILE_BYTES ? undefined : this.#storeSmall({ name, path, fd, stat })
      if (node === undefined) return { node: null, code: ENTRY_LARGE + code, size }
      return { node, code, size: node.size }
    } finally {
      closeSync(fd)
    }
  }

  /** Undefined when it has grown too large to be read at once. */
  #storeSmall(file: {
    readonly name: string
    readonly path: string
    readonly fd: number
    readonly stat: BigIntStats
  }): TreeNode | undefined {
    const { name, path, fd, stat } = file
    const { charge, chunks, rules } = this.#parts
    const since = performance.now()
    const length = readToEnd(fd, chunks.memory, Number(stat.size))
    charge('read', since)
    if (length === undefined) return undefined
    if (changedMeanwhile(fd, stat, length))
      this.#note(path, 'changed while it was read; what was read is stored')
    const content = chunks.storeWhole(length, rules.fixedChunkBytes)
    const described = performance.now()
    const node = { ...this.#nodes.fromStat(name, path, stat, fd), size: length, content }
    charge('describe', described)
    return node
  }

  #describeOther(name: string, path: string, stat: BigIntStats): Entry {
    // a socket is made anew by its server; storing its name would restore something that looks alive
    if (stat.isSocket()) return SKIPPED
    return { node: this.#nodes.fromStat(name, path, stat), code: ENTRY_OTHER, size: 0 }
  }

  /** The node of an unchanged file. */
  #keep(path: string, before: TreeNode, stat: BigIntStats): Entry {
    const { accounts, rules } = this.#parts
    const size = before.size
    // the inode change time covers every attribute, so with it compared the old node is the new one
    const comparesAll = !rules.ignoreCtime && !rules.ignoreInode && !rules.withAtime && !rules.omitDeviceIds
    if (!comparesAll || before.deviceId !== stat.dev) {
      const node = { ...this.#nodes.fromStat(before.name, path, stat), content: before.content }
      return { node, code: ENTRY_UNCHANGED, size }
    }
    const user = accounts.userName(before.uid)
    const group = accounts.groupName(before.gid)
    const identical = user === before.user && group === before.group
    return { node: identical ? before : { ...before, user, group }, code: ENTRY_UNCHANGED, size, identical }
  }

  #isStored(id: Hex): boolean {
    this.#id.write(id, 'hex')
    return this.#parts.known.has(this.#id)
  }

  #note(path: string, message: string): void {
    this.#problems.push({ path, fatal: false, message })
  }

  #readParent(directory: string, bytes: Uint8Array | undefined): Map<string, TreeNode> | undefined {
    if (bytes === undefined) return undefined
    try {
      return new Map(decodeTree(bytes, `parent tree of ${directory}`).map((node) => [node.name, node]))
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      this.#note(
        directory,
        `its tree in the parent snapshot is unreadable, so all of it is read again: ${error.message}`,
      )
      return undefined
    }
  }
}

interface NodeBuffer {
  /** The bytes it took. */
  add(node: string): number
  take(): Uint8Array<ArrayBuffer>
}

/** Gathers encoded nodes as bytes, which cross to the main thread for less than strings do. */
function createNodeBuffer(count: number): NodeBuffer {
  let bytes = Buffer.allocUnsafeSlow(count * 768)
  let size = 0
  return {
    add(node) {
      // three bytes hold any UTF-16 unit
      if (size + node.length * 3 > bytes.length) {
        // never from the shared pool, whose memory would cross along: the view below begins at byte 0
        const larger = Buffer.allocUnsafeSlow((size + node.length * 3) * 2)
        bytes.copy(larger, 0, 0, size)
        bytes = larger
      }
      const length = bytes.write(node, size, 'utf8')
      size += length
      return length
    },
    take: () => new Uint8Array(bytes.buffer, 0, size),
  }
}

/** Bytes read into memory, or undefined when the file has grown past what is read at once. */
function readToEnd(fd: number, memory: Buffer, expected: number): number | undefined {
  let length = 0
  for (;;) {
    // one byte more than expected tells the end of the file without another call
    const wanted = Math.min(Math.max(expected + 1 - length, 4096), LARGE_FILE_BYTES + 4096 - length)
    const count = readSync(fd, memory, KERNEL_HEAP + length, wanted, null)
    length += count
    if (count === 0 || (count < wanted && length === expected)) return length
    if (length > LARGE_FILE_BYTES) return undefined
  }
}

function changedMeanwhile(fd: number, before: BigIntStats, length: number): boolean {
  if (length !== Number(before.size)) return true
  if (length < RECHECK_BYTES) return false
  return fstatSync(fd, { bigint: true }).mtimeNs !== before.mtimeNs
}
