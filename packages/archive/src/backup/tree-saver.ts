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
}

export interface Place {
  readonly name: string
  /** Where it is found. */
  readonly path: string
  /** How messages and excludes call it: absolute. */
  readonly shown: string
  /** Its tree in the parent snapshot. */
  readonly before: Hex | undefined
}

/**
 * Walks directories in order and hands their files out. It waits only for a free worker, not for
 * results, so that the next directory is listed while the last is still being read; what it holds in
 * memory is the directories with work outstanding and those above them.
 */
export interface TreeSaver {
  directory(place: Place, stat: BigIntStats): Promise<PendingNodes>
  /** An entry that is not a directory, or of a kind not known yet. */
  entry(place: Place): Promise<PendingNodes>
  /** Stores the tree of these nodes, sorted as trees are; its id. No two may have one name. */
  tree(nodes: readonly PendingNodes[]): Promise<Hex>
}

export function createTreeSaver(parts: TreeSaverParts): TreeSaver {
  const { repository, pool, tally, selection, knownTrees, nodes } = parts
  const large = createGate(LARGE_FILES_AT_ONCE)
  let failure: unknown

  /** Remembers the first failure, so that the walk stops, and keeps it from being an unhandled one. */
  const watched = <T>(work: Promise<T>): Promise<T> => {
    work.catch((error: unknown) => {
      failure ??= error
    })
    return work
  }
  const mayGoOn = (): void => {
    parts.signal.throwIfAborted()
    if (failure !== undefined) throw failure
  }
  const saveTree = async (encoded: readonly EncodedNode[]): Promise<Hex> => {
    const json = joinTree(encoded)
    const id = sha256(json)
    const hex = id.toString('hex')
    if (knownTrees.add(id)) await pool.run({ kind: 'tree', id: hex, json })
    return hex
  }
  const tree = async (pending: readonly PendingNodes[]): Promise<Hex> => {
    const groups = await Promise.all(pending.map(async ({ names, nodes }) => ({ names, nodes: await nodes })))
    const named = groups.flatMap(({ names, nodes }) =>
      names.map((name, i) => ({ name, node: nodes[i] ?? null })),
    )
    return await saveTree(inTreeOrder(named))
  }
  const saveLarge = async (path: string, shown: string, code: number): Promise<EncodedNode | null> => {
    await using _ = await large.enter()
    tally.current(shown)
    try {
      const stat = lstatSync(fsPath(path), { bigint: true })
      const stored = await parts.chains.storeFile(path, parts.fixedChunkBytes)
      const after = lstatSync(fsPath(path), { bigint: true })
      if (stored.length !== Number(stat.size) || after.mtimeNs !== stat.mtimeNs) {
        tally.problem({
          path: shown,
          fatal: false,
          message: 'changed while it was read; what was read is stored',
        })
      }
      const name = path.slice(path.lastIndexOf('/') + 1)
      const node = encode({
        ...nodes.fromStat(name, path, stat),
        content: stored.content,
        size: stored.length,
      })
      tally.entry(shown, code, 0)
      return node
    } catch (error) {
      return await leftOut(tally, { name: '', shown }, error).nodes.then(([node]) => node ?? null)
    }
  }
  const fileNodes = async (
    place: Place,
    names: readonly string[],
    answer: FilesResult,
  ): Promise<(EncodedNode | null)[]> => {
    const { entries, problems } = answer
    for (const problem of problems) tally.problem(problem)
    const found: (EncodedNode | null)[] = []
    const larger: Promise<void>[] = []
    let at = 0
    for (const [i, name] of names.entries()) {
      const length = entries[i * 3] ?? 0
      const code = entries[i * 3 + 1] ?? ENTRY_NEW
      const shown = joinPath(place.shown, name)
      found.push(length > 0 ? answer.nodes.subarray(at, at + length) : null)
      at += length
      if (code < ENTRY_LARGE) tally.entry(shown, code, entries[i * 3 + 2] ?? 0)
      else
        larger.push(
          saveLarge(joinPath(place.path, name), shown, code - ENTRY_LARGE).then(
            (node) => void (found[i] = node),
          ),
        )
    }
    await Promise.all(larger)
    return found
  }
  const files = async (
    place: Place,
    entries: readonly DirectoryEntry[],
    parent: { readonly parentTree: Uint8Array<ArrayBuffer> | undefined; readonly last: boolean },
  ): Promise<PendingNodes> => {
    const { parentTree, last } = parent
    mayGoOn()
    tally.current(place.shown)
    const names = entries.map((e) => e.name)
    const kinds = entries.map((e) => e.kind).join('')
    // the last job of a directory takes the tree with it, unless it shares memory with something else
    const own = last && parentTree !== undefined && parentTree.length === parentTree.buffer.byteLength
    const job: BackupJob = { kind: 'files', directory: place.path, names, kinds, parentTree }
    const { result } = await pool.start(job, own ? [parentTree.buffer] : [])
    return {
      names,
      nodes: watched(result.then(async (answer) => await fileNodes(place, names, answer as FilesResult))),
    }
  }
  const parentOf = async (place: Place): Promise<Buffer<ArrayBuffer> | undefined> => {
    if (place.before === undefined) return undefined
    try {
      return await repository.loadBlob('tree', place.before)
    } catch (error) {
      const message = `its tree in the parent snapshot cannot be read, so all of it is read again: ${(error as Error).message}`
      tally.problem({ path: place.shown, fatal: false, message })
      return undefined
    }
  }
  const subdirectory = async (place: Place, device: bigint): Promise<PendingNodes> => {
    try {
      const stat = lstatSync(fsPath(place.path), { bigint: true })
      if (!selection.oneFileSystem || stat.dev === device) return await saver.directory(place, stat)
      // a mount point is kept as the empty directory it is on this file system
      const node = encode({ ...nodes.fromStat(place.name, place.path, stat), subtree: await saveTree([]) })
      return { names: [place.name], nodes: Promise.resolve([node]) }
    } catch (error) {
      return leftOut(tally, place, error)
    }
  }
  const contents = async (
    place: Place,
    entries: readonly DirectoryEntry[],
    device: bigint,
  ): Promise<PendingNodes[]> => {
    const parentTree = await parentOf(place)
    const subdirectories = entries.filter((e) => e.kind === 'd')
    const others = entries.filter((e) => e.kind !== 'd')
    const perJob = parentTree === undefined ? NAMES_PER_JOB : NAMES_PER_JOB_WITH_PARENT
    const before = subdirectories.length > 0 ? subtreesOf(parentTree, place) : undefined
    const pending: PendingNodes[] = []
    for (let i = 0; i < others.length; i += perJob) {
      const last = i + perJob >= others.length
      pending.push(await files(place, others.slice(i, i + perJob), { parentTree, last }))
    }
    for (const { name } of subdirectories) {
      const child = {
        name,
        path: joinPath(place.path, name),
        shown: joinPath(place.shown, name),
        before: before?.get(name),
      }
      pending.push(await subdirectory(child, device))
    }
    return pending
  }
  const saver: TreeSaver = {
    tree,
    async entry(place) {
      const slash = place.path.lastIndexOf('/')
      const directory = slash < 0 ? '.' : place.path.slice(0, slash) || '/'
      const name = place.path.slice(slash + 1)
      const above = place.shown.slice(0, place.shown.lastIndexOf('/')) || '/'
      const { nodes } = await files({ ...place, path: directory, shown: above }, [{ name, kind: '?' }], {
        parentTree: undefined,
        last: true,
      })
      return { names: [place.name], nodes }
    },
    async directory(place, stat) {
      mayGoOn()
      let entries: readonly DirectoryEntry[]
      try {
        entries = selection.select(place.shown, listDirectory(place.path))
      } catch (error) {
        return leftOut(tally, place, error)
      }
      const children = await contents(place, entries, stat.dev)
      const finish = async (): Promise<readonly EncodedNode[]> => {
        const subtree = await tree(children)
        tally.entry(`${place.shown}/`, compareSubtrees(place.before, subtree), 0)
        return [encode({ ...nodes.fromStat(place.name, place.path, stat), subtree })]
      }
      return { names: [place.name], nodes: watched(finish()) }
    },
  }
  return saver
}

/** How a directory compares with the parent snapshot, as an ENTRY_ code: by its tree, whatever its own attributes. */
export function compareSubtrees(before: Hex | undefined, now: Hex): number {
  if (before === undefined) return ENTRY_NEW
  return before === now ? ENTRY_UNCHANGED : ENTRY_MODIFIED
}

export function encode(node: TreeNode): EncodedNode {
  return Buffer.from(encodeNode(node))
}

/** An entry the file system would not give: told, counted, and left out. Any other error is thrown on. */
function leftOut(tally: Tally, place: Pick<Place, 'name' | 'shown'>, error: unknown): PendingNodes {
  if ((error as NodeJS.ErrnoException).errno === undefined) throw error
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
function subtreesOf(tree: Uint8Array | undefined, place: Place): Map<string, Hex> | undefined {
  if (tree === undefined) return undefined
  try {
    const nodes = decodeTree(tree, `parent tree of ${place.shown}`)
    return new Map(nodes.flatMap(({ name, subtree }) => (subtree === null ? [] : [[name, subtree] as const])))
  } catch (error) {
    if (isHoldfastError(error)) return undefined
    throw error
  }
}

/** Lets `limit` callers in at a time; leaving is by disposal. */
function createGate(limit: number): { enter(): Promise<AsyncDisposable> } {
  let inside = 0
  const queue: (() => void)[] = []
  return {
    async enter() {
      if (inside >= limit) await new Promise<void>((resolve) => queue.push(resolve))
      else inside++
      return {
        [Symbol.asyncDispose]: async () => {
          // the place goes straight to the next in line, if there is one
          const next = queue.shift()
          if (next === undefined) inside--
          else next()
          await Promise.resolve()
        },
      }
    },
  }
}
