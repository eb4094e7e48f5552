import { type BigIntStats, lstatSync } from 'node:fs'
import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { WorkerPool } from '../engine/worker-pool.ts'
import { compareNames } from '../format/byte-name.ts'
import { type Hex, sha256 } from '../format/ids.ts'
import { decodeTree, encodeNode, type TreeNode } from '../format/tree.ts'
import type { IdSet } from '../repository/id-set.ts'
import type { Repository } from '../repository/repository.ts'
import {
  type BackupAnswer,
  type BackupJob,
  ENTRY_LARGE,
  ENTRY_MODIFIED,
  ENTRY_NEW,
  ENTRY_UNCHANGED,
  type FilesResult,
} from './backup-job.ts'
import type { Selection } from './exclude.ts'
import { type DirectoryEntry, listDirectory } from './list-directory.ts'
import type { SegmentChains } from './segment-chain.ts'
import { fsPath, type NodeMaker } from './stat-node.ts'
import type { Tally } from './tally.ts'
import { joinPath } from './target-tree.ts'

/** Entries per job: enough to make a message worth its cost, few enough to share one directory among workers. */
const NAMES_PER_JOB = 64
const NAMES_PER_JOB_WITH_PARENT = 512

/** Large files read at the same time. */
const LARGE_FILES_AT_ONCE = 2

/** Large files that wait for their turn before the walk waits too, so that it does not remember a whole disk of them. */
const LARGE_FILES_WAITING = 512

export interface TreeSaverParts {
  readonly repository: Repository
  readonly pool: WorkerPool<BackupJob, BackupAnswer>
  readonly chains: SegmentChains
  readonly nodes: NodeMaker
  readonly tally: Tally
  readonly selection: Pick<Selection, 'oneFileSystem' | 'select'>
  readonly knownTrees: IdSet
  readonly fixedChunkBytes: number
  readonly signal: AbortSignal
}

/** A node as JSON in UTF-8. */
export type EncodedNode = Uint8Array

/** Entries that are on their way: all their work is handed out, the nodes come when that is done. */
export interface PendingNodes {
  readonly names: readonly string[]
  /** As many; null where an entry was left out. */
  readonly nodes: Promise<readonly (EncodedNode | null)[]>
  /** Resolves to true when these are a whole directory that is what it was: then there are no nodes. */
  readonly identical?: Promise<boolean>
}

export interface Place {
  readonly name: string
  /** Where it is found. */
  readonly path: string
  /** How messages and excludes call it: absolute. */
  readonly shown: string
  /** What the parent snapshot has in its place. */
  readonly before: TreeNode | undefined
}

/**
 * Walks directories in order and hands their files out. It waits only for a free worker, not for
 * results, so that the next directory is listed while the last is still being read; what it holds in
 * memory is the directories with work outstanding and those above them.
 */
export class TreeSaver {
  readonly #parts: TreeSaverParts
  readonly #large = createGate(LARGE_FILES_AT_ONCE, LARGE_FILES_WAITING)
  #failure: unknown

  constructor(parts: TreeSaverParts) {
    this.#parts = parts
  }

  async directory(place: Place, stat: BigIntStats): Promise<PendingNodes> {
    this.#mayGoOn()
    let entries: readonly DirectoryEntry[]
    try {
      entries = this.#parts.selection.select(place.shown, listDirectory(place.path))
    } catch (error) {
      return leftOut(this.#parts.tally, place, error)
    }
    const children = await this.#contents(place, entries, stat.dev)
    return { names: [place.name], nodes: this.#watched(this.#finishDirectory(place, children, stat)) }
  }

  /** A directory found in one on `device`. */
  async subdirectory(place: Place, device: bigint): Promise<PendingNodes> {
    const { selection, nodes, tally } = this.#parts
    try {
      const stat = lstatSync(fsPath(place.path), { bigint: true })
      if (!selection.oneFileSystem || stat.dev === device) return await this.directory(place, stat)
      // a mount point is kept as the empty directory it is on this file system
      const subtree = await this.#saveTree([])
      const node = encode({ ...nodes.fromStat(place.name, place.path, stat), subtree })
      tally.entry(`${place.shown}/`, directoryCode(place.before, node), 0)
      return { names: [place.name], nodes: Promise.resolve([node]) }
    } catch (error) {
      return leftOut(tally, place, error)
    }
  }

  /** An entry that is not a directory, or of a kind not known yet. `parentTree`: the tree it was in before. */
  async entry(place: Place, parentTree: Uint8Array<ArrayBuffer> | undefined): Promise<PendingNodes> {
    const slash = place.path.lastIndexOf('/')
    const path = slash < 0 ? '.' : place.path.slice(0, slash) || '/'
    const name = place.path.slice(slash + 1)
    const shown = place.shown.slice(0, place.shown.lastIndexOf('/')) || '/'
    const alone = { entries: [{ name, kind: '?' as const }], parentTree, last: false, whole: false }
    const { nodes } = await this.#handOut({ ...place, path, shown }, alone)
    if (name === place.name) return { names: [name], nodes }
    return { names: [place.name], nodes: this.#watched(nodes.then((found) => found.map(callIt(place.name)))) }
  }

  /** Stores the tree of these nodes, sorted as trees are; its id. No two may have one name. */
  async tree(pending: readonly PendingNodes[]): Promise<Hex> {
    const groups = await Promise.all(
      pending.map(async ({ names, nodes }) => {
        const found = await nodes
        return names.map((name, i) => ({ name, node: found[i] ?? null }))
      }),
    )
    return await this.#saveTree(inTreeOrder(groups.flat()))
  }

  async #finishDirectory(
    place: Place,
    children: readonly PendingNodes[],
    stat: BigIntStats,
  ): Promise<readonly EncodedNode[]> {
    const { tally, nodes } = this.#parts
    const before = place.before?.subtree ?? null
    const identical = before !== null && children.length === 1 && (await children[0]?.identical) === true
    const subtree = identical ? before : await this.tree(children)
    const node = encode({ ...nodes.fromStat(place.name, place.path, stat), subtree })
    tally.entry(`${place.shown}/`, directoryCode(place.before, node), 0)
    return [node]
  }

  async #saveTree(encoded: readonly EncodedNode[]): Promise<Hex> {
    const json = joinTree(encoded)
    const id = sha256(json)
    const hex = id.toString('hex')
    if (this.#parts.knownTrees.add(id)) await this.#parts.pool.run({ kind: 'tree', id: hex, json })
    return hex
  }

  async #contents(place: Place, entries: readonly DirectoryEntry[], device: bigint): Promise<PendingNodes[]> {
    const parentTree = await this.#parentTree(place)
    const subdirectories = entries.filter((e) => e.kind === 'd')
    const others = entries.filter((e) => e.kind !== 'd')
    const perJob = parentTree === undefined ? NAMES_PER_JOB : NAMES_PER_JOB_WITH_PARENT
    // before the jobs below take the tree's memory with them
    const before = subdirectories.length > 0 ? nodesOf(parentTree, place) : undefined
    const pending: PendingNodes[] = []
    for (let i = 0; i < others.length; i += perJob) {
      const last = i + perJob >= others.length
      const batch = others.slice(i, i + perJob)
      const whole = batch.length === entries.length
      pending.push(await this.#handOut(place, { entries: batch, parentTree, last, whole }))
    }
    for (const { name } of subdirectories) {
      const path = joinPath(place.path, name)
      const child = { name, path, shown: joinPath(place.shown, name), before: before?.get(name) }
      pending.push(await this.subdirectory(child, device))
    }
    return pending
  }

  async #parentTree(place: Place): Promise<Buffer<ArrayBuffer> | undefined> {
    const before = place.before?.subtree ?? undefined
    if (before === undefined) return undefined
    try {
      return await this.#parts.repository.loadBlob('tree', before)
    } catch (error) {
      if (!isHoldfastError(error)) throw error
      const message = `its tree in the parent snapshot cannot be read, so all of it is read again: ${error.message}`
      this.#parts.tally.problem({ path: place.shown, fatal: false, message })
      return undefined
    }
  }

  /** Gives entries of one directory to a worker; resolves when it has taken them. */
  async #handOut(place: Place, batch: Batch): Promise<PendingNodes> {
    await this.#large.room()
    this.#mayGoOn()
    this.#parts.tally.current(place.shown)
    const { entries, parentTree, last, whole } = batch
    const names = entries.map((e) => e.name)
    const kinds = entries.map((e) => e.kind).join('')
    const job: BackupJob = { kind: 'files', directory: place.path, names, kinds, parentTree, whole }
    // the last job of a directory takes the tree with it, unless it shares memory with something else
    const own = last && parentTree !== undefined && parentTree.length === parentTree.buffer.byteLength
    const { result } = await this.#parts.pool.start(job, own ? [parentTree.buffer] : [])
    const nodes = result.then(async (answer) => await this.#collect(place, names, answer as FilesResult))
    const identical = result.then((answer) => (answer as FilesResult).identical)
    return { names, nodes: this.#watched(nodes), identical: this.#watched(identical) }
  }

  /** Counts what a worker did, and sees to the large files it left. */
  async #collect(
    place: Place,
    names: readonly string[],
    answer: FilesResult,
  ): Promise<(EncodedNode | null)[]> {
    const { tally } = this.#parts
    for (const problem of answer.problems) tally.problem(problem)
    const found: (EncodedNode | null)[] = []
    const larger: Promise<void>[] = []
    let at = 0
    for (const [i, name] of names.entries()) {
      const [length = 0, code = ENTRY_NEW, size = 0] = answer.entries.subarray(i * 3, i * 3 + 3)
      const entry = { path: joinPath(place.path, name), shown: joinPath(place.shown, name) }
      found.push(length > 0 ? answer.nodes.subarray(at, at + length) : null)
      at += length
      if (code < ENTRY_LARGE) tally.entry(entry.shown, code, size)
      else larger.push(this.#saveLarge(entry, code - ENTRY_LARGE).then((node) => void (found[i] = node)))
    }
    await Promise.all(larger)
    return found
  }

  async #saveLarge(
    file: { readonly path: string; readonly shown: string },
    code: number,
  ): Promise<EncodedNode | null> {
    const { tally, chains, nodes, fixedChunkBytes } = this.#parts
    const { path, shown } = file
    await using _ = await this.#large.enter()
    tally.current(shown)
    try {
      const stat = lstatSync(fsPath(path), { bigint: true })
      const { content, length } = await chains.storeFile(path, fixedChunkBytes)
      const after = lstatSync(fsPath(path), { bigint: true })
      if (length !== Number(stat.size) || after.mtimeNs !== stat.mtimeNs) {
        tally.problem({
          path: shown,
          fatal: false,
          message: 'changed while it was read; what was read is stored',
        })
      }
      const name = path.slice(path.lastIndexOf('/') + 1)
      const node = encode({ ...nodes.fromStat(name, path, stat), content, size: length })
      tally.entry(shown, code, 0)
      return node
    } catch (error) {
      leftOut(tally, { name: '', shown }, error)
      return null
    }
  }

  /** Remembers the first failure, so that the walk stops, and keeps it from being an unhandled one. */
  #watched<T>(work: Promise<T>): Promise<T> {
    work.catch((error: unknown) => {
      this.#failure ??= error
    })
    return work
  }

  #mayGoOn(): void {
    this.#parts.signal.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
  }
}

interface Batch {
  readonly entries: readonly DirectoryEntry[]
  readonly parentTree: Uint8Array<ArrayBuffer> | undefined
  /** No other batch needs the parent tree. */
  readonly last: boolean
  /** The directory has no other entries. */
  readonly whole: boolean
}

/** How a directory compares with the parent snapshot, as an ENTRY_ code: as in restic, every attribute counts. */
export function directoryCode(before: TreeNode | undefined, node: EncodedNode): number {
  if (before === undefined) return ENTRY_NEW
  return Buffer.compare(encode(before), node) === 0 ? ENTRY_UNCHANGED : ENTRY_MODIFIED
}

/** Renames a node: the second of two targets with the same name is stored under another one. */
function callIt(name: string): (node: EncodedNode | null) => EncodedNode | null {
  return (encoded) => {
    if (encoded === null) return null
    const [node] = decodeTree(joinTree([encoded]), name)
    return node === undefined ? null : encode({ ...node, name })
  }
}

export function encode(node: TreeNode): EncodedNode {
  return Buffer.from(encodeNode(node))
}

/** An entry the file system would not give: told, counted, and left out. Any other error is thrown on. */
function leftOut(tally: Tally, place: Pick<Place, 'name' | 'shown'>, error: unknown): PendingNodes {
  const isSystemError = (error as NodeJS.ErrnoException).errno !== undefined
  if (!isSystemError && !isHoldfastError(error, 'SourceUnreadable')) throw error
  tally.problem({ path: place.shown, fatal: true, message: (error as Error).message })
  return { names: [place.name], nodes: Promise.resolve([null]) }
}

const TREE_START = Buffer.from('{"nodes":[')
const COMMA = Buffer.from(',')
const TREE_END = Buffer.from(']}\n')

/** As encodeTree, from nodes already in UTF-8. */
function joinTree(encoded: readonly EncodedNode[]): Buffer {
  const pieces: Uint8Array[] = [TREE_START]
  for (const [i, node] of encoded.entries()) {
    if (i > 0) pieces.push(COMMA)
    pieces.push(node)
  }
  pieces.push(TREE_END)
  return Buffer.concat(pieces)
}

function inTreeOrder(named: { readonly name: string; readonly node: EncodedNode | null }[]): EncodedNode[] {
  named.sort((a, b) => compareNames(a.name, b.name))
  for (const [i, { name }] of named.entries()) {
    if (named[i + 1]?.name !== name) continue
    throw new HoldfastError(
      'InvalidInput',
      `two things to back up are both called "${name}" in the snapshot`,
      {
        guidance: 'Back them up in two runs.',
      },
    )
  }
  return named.flatMap(({ node }) => node ?? [])
}

/** A parent tree that does not decode counts as none: the workers, who read it too, tell about it. */
function nodesOf(tree: Uint8Array | undefined, place: Place): Map<string, TreeNode> | undefined {
  if (tree === undefined) return undefined
  try {
    return new Map(decodeTree(tree, `parent tree of ${place.shown}`).map((node) => [node.name, node]))
  } catch (error) {
    if (isHoldfastError(error)) return undefined
    throw error
  }
}

interface Gate {
  /** Leaving is by disposal. */
  enter(): Promise<AsyncDisposable>
  /** Resolves when the queue is not full. */
  room(): Promise<void>
}

/** Lets `limit` callers in at a time. Whoever makes more callers asks for room first. */
function createGate(limit: number, longestQueue: number): Gate {
  let inside = 0
  const queue: (() => void)[] = []
  const forRoom: (() => void)[] = []
  return {
    async room() {
      while (queue.length >= longestQueue) await new Promise<void>((resolve) => forRoom.push(resolve))
    },
    async enter() {
      if (inside >= limit) await new Promise<void>((resolve) => queue.push(resolve))
      else inside++
      return {
        [Symbol.asyncDispose]: async () => {
          // the place goes straight to the next in line, if there is one
          const next = queue.shift()
          if (next === undefined) inside--
          else next()
          for (const wake of forRoom.splice(0)) wake()
          await Promise.resolve()
        },
      }
    },
  }
}
