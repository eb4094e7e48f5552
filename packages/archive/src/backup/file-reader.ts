import { type BigIntStats, closeSync, fstatSync, lstatSync, readSync } from 'node:fs'
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
import { createNodeMaker, fsPath } from './stat-node.ts'

export interface FileReaderParts {
  readonly chunks: ChunkReader
  readonly known: IdSet
  readonly rules: ReadingRules
  readonly posix: Posix | undefined
  readonly accounts: Accounts
  readonly charge: (stage: string, since: number) => void
}

export interface FileReader {
  /** Stores the entries of one directory; what fails is told per entry and never ends the rest. */
  read(job: Extract<BackupJob, { kind: 'files' }>): FilesResult
}

interface Entry {
  readonly node: string | null
  readonly code: number
  readonly size: number
}

/** Files whose stat is compared again after reading; smaller ones are read in one call. */
const RECHECK_BYTES = 64 * 1024

export function createFileReader(parts: FileReaderParts): FileReader {
  const { chunks, known, rules, charge } = parts
  let problems: EntryProblem[] = []
  const note = (path: string, message: string): void => void problems.push({ path, fatal: false, message })
  const nodes = createNodeMaker(rules, parts, note)
  const id = Buffer.alloc(32)
  const isStored = (hex: Hex): boolean => {
    id.write(hex, 'hex')
    return known.has(id)
  }
  const skipped: Entry = { node: null, code: ENTRY_SKIPPED, size: 0 }

  const readRegular = (name: string, path: string, before: TreeNode | undefined): Entry => {
    const since = performance.now()
    const fd = openToRead(path)
    try {
      const stat = fstatSync(fd, { bigint: true })
      charge('open', since)
      if (!stat.isFile()) return readOther(name, path, stat)
      if (Number(stat.size) > rules.maxFileBytes) return skipped
      const code = before === undefined ? ENTRY_NEW : ENTRY_MODIFIED
      if (stat.size > LARGE_FILE_BYTES)
        return { node: null, code: ENTRY_LARGE + code, size: Number(stat.size) }
      return readSmall(name, path, { fd, stat, code })
    } finally {
      closeSync(fd)
    }
  }
  const readSmall = (
    name: string,
    path: string,
    file: { readonly fd: number; readonly stat: BigIntStats; readonly code: number },
  ): Entry => {
    const { fd, stat, code } = file
    const since = performance.now()
    const length = readToEnd(fd, chunks.memory, Number(stat.size))
    charge('read', since)
    if (length === undefined) return { node: null, code: ENTRY_LARGE + code, size: Number(stat.size) }
    if (changedMeanwhile(fd, stat, length)) note(path, 'changed while it was read; what was read is stored')
    const content = chunks.storeWhole(length, rules.fixedChunkBytes)
    const described = performance.now()
    const node = encodeNode({ ...nodes.fromStat(name, path, stat, fd), size: length, content })
    charge('describe', described)
    return { node, code, size: length }
  }
  const readOther = (name: string, path: string, stat: BigIntStats): Entry => {
    // a socket is made anew by its server; storing its name would restore something that looks alive
    if (stat.isSocket()) return skipped
    return { node: encodeNode(nodes.fromStat(name, path, stat)), code: ENTRY_OTHER, size: 0 }
  }
  const readEntry = (
    name: string,
    path: string,
    entry: { readonly kind: string; readonly before: TreeNode | undefined },
  ): Entry => {
    const { kind, before } = entry
    if (kind === 'f' && before === undefined) return readRegular(name, path, before)
    const since = performance.now()
    const stat = lstatSync(fsPath(path), { bigint: true })
    charge('stat', since)
    if (!stat.isFile()) return readOther(name, path, stat)
    if (before === undefined || !isUnchanged(before, stat, rules)) return readRegular(name, path, before)
    if (!before.content?.every(isStored)) {
      note(path, 'parts of it are missing from the repository; it is stored again')
      return readRegular(name, path, before)
    }
    const described = performance.now()
    // the inode change time covers every attribute, so with it compared the old node is the new one
    const same =
      !rules.ignoreCtime &&
      !rules.ignoreInode &&
      !rules.withAtime &&
      !rules.omitDeviceIds &&
      before.deviceId === stat.dev
    const fresh = same
      ? { ...before, user: parts.accounts.userName(before.uid), group: parts.accounts.groupName(before.gid) }
      : { ...nodes.fromStat(name, path, stat), content: before.content }
    const node = encodeNode(fresh)
    charge('describe', described)
    return { node, code: ENTRY_UNCHANGED, size: before.size }
  }
  return {
    read({ directory, names, kinds, parentTree }) {
      problems = []
      const parent = readParent(directory, parentTree, note)
      const entries = new Float64Array(names.length * 3)
      const prefix = directory === '/' ? '/' : `${directory}/`
      const encoded = createNodeBuffer(names.length)
      for (const [i, name] of names.entries()) {
        const path = prefix + name
        try {
          const entry = readEntry(name, path, { kind: kinds.charAt(i), before: parent?.get(name) })
          entries.set([encoded.add(entry.node), entry.code, entry.size], i * 3)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).errno === undefined) throw error
          problems.push({ path, fatal: true, message: (error as Error).message })
          entries[i * 3 + 1] = ENTRY_SKIPPED
        }
      }
      return { nodes: encoded.take(), entries, problems }
    },
  }
}

interface NodeBuffer {
  /** The bytes it took. */
  add(node: string | null): number
  take(): Uint8Array<ArrayBuffer>
}

/** Gathers encoded nodes as bytes, which cross to the main thread for less than strings do. */
function createNodeBuffer(count: number): NodeBuffer {
  let bytes = Buffer.allocUnsafeSlow(count * 768)
  let size = 0
  return {
    add(node) {
      if (node === null) return 0
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

function readParent(
  directory: string,
  bytes: Uint8Array | undefined,
  note: (path: string, message: string) => void,
): Map<string, TreeNode> | undefined {
  if (bytes === undefined) return undefined
  try {
    const nodes = decodeTree(bytes, `parent tree of ${directory}`).filter((node) => node.type === 'file')
    return new Map(nodes.map((node) => [node.name, node]))
  } catch (error) {
    note(
      directory,
      `its tree in the parent snapshot is unreadable, so all of it is read again: ${(error as Error).message}`,
    )
    return undefined
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
