import { type BigIntStats, lstatSync } from 'node:fs'
import { isHoldfastError } from '@holdfast/contract'
import type { WorkerPool } from '../engine/worker-pool.ts'
import { type Hex, sha256 } from '../format/ids.ts'
import { decodeTree, encodeNode, encodeTree, type TreeNode } from '../format/tree.ts'
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
import type { BackupSelection } from './backup-selection.ts'
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
  readonly selection: BackupSelection
  readonly knownTrees: IdSet
  readonly fixedChunkBytes: number
  readonly signal: AbortSignal
}

/** An entry that is on its way: all its work is handed out, the node comes when that is done. */
export interface PendingNode {
  readonly name: string
  /** Null when the entry was left out. */
  readonly node: Promise<string | null>
}

/** Work that workers have taken; the nodes of the entries, in their order. */
interface HandedOut {
  readonly stored: Promise<readonly (string | null)[]>
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
  directory(place: Place, stat: BigIntStats): Promise<PendingNode>
  /** An entry that is not a directory, or of a kind not known yet. */
  entry(place: Place): Promise<PendingNode>
  /** Stores the tree made of these nodes; its id. Null nodes are left out. */
  tree(nodes: readonly PendingNode[]): Promise<Hex>
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
  const leftOut = (place: Place, error: unknown): PendingNode => {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error
    tally.problem({ path: place.shown, fatal: true, message: (error as Error).message })
    return { name: place.name, node: Promise.resolve(null) }
  }
  const saveTree = async (encoded: readonly string[]): Promise<Hex> => {
    const json = encodeTree(encoded)
    const id = sha256(json)
    const hex = id.toString('hex')
    if (knownTrees.add(id)) await pool.run({ kind: 'tree', id: hex, json })
    return hex
  }
  const tree = async (pending: readonly PendingNode[]): Promise<Hex> => {
    const encoded = await Promise.all(pending.map(async ({ node }) => await node))
    return await saveTree(encoded.filter((node) => node !== null))
  }
  const saveLarge = async (path: string, shown: string, code: number): Promise<string | null> => {
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
      const node = encodeNode({
        ...nodes.fromStat(name, path, stat),
        content: stored.content,
        size: stored.length,
      })
      tally.entry(shown, code, 0)
      return node
    } catch (error) {
      return await leftOut({ name: '', path, shown, before: undefined }, error).node
    }
  }
  const files = async (
    place: Place,
    entries: readonly DirectoryEntry[],
    parentTree: Uint8Array | undefined,
  ): Promise<HandedOut> => {
    mayGoOn()
    tally.current(place.shown)
    const names = entries.map((e) => e.name)
    const kinds = entries.map((e) => e.kind).join('')
    const { result } = await pool.start({ kind: 'files', directory: place.path, names, kinds, parentTree })
    // within an object, or awaiting this function would await the work as well
    const stored = result.then(async (answer) => {
      const { nodes: encoded, codes, sizes, problems } = answer as FilesResult
      for (const problem of problems) tally.problem(problem)
      return await Promise.all(
        encoded.map(async (node, i) => {
          const shown = joinPath(place.shown, names[i] ?? '')
          const code = codes[i] ?? ENTRY_NEW
          if (code >= ENTRY_LARGE)
            return await saveLarge(joinPath(place.path, names[i] ?? ''), shown, code - ENTRY_LARGE)
          tally.entry(shown, code, sizes[i] ?? 0)
          return node
        }),
      )
    })
    return { stored: watched(stored) }
  }
  const parentOf = async (place: Place): Promise<Uint8Array | undefined> => {
    if (place.before === undefined) return undefined
    try {
      return await repository.loadBlob('tree', place.before)
    } catch (error) {
      tally.problem({
        path: place.shown,
        fatal: false,
        message: `its tree in the parent snapshot cannot be read, so all of it is read again: ${(error as Error).message}`,
      })
      return undefined
    }
  }
  const contents = async (
    place: Place,
    entries: readonly DirectoryEntry[],
    device: bigint,
  ): Promise<PendingNode[]> => {
    const parentTree = await parentOf(place)
    const subdirectories = entries.filter((e) => e.kind === 'd')
    const others = entries.filter((e) => e.kind !== 'd')
    const perJob = parentTree === undefined ? NAMES_PER_JOB : NAMES_PER_JOB_WITH_PARENT
    const pending: PendingNode[] = []
    for (let i = 0; i < others.length; i += perJob) {
      const batch = others.slice(i, i + perJob)
      const { stored } = await files(place, batch, parentTree)
      for (const [k, { name }] of batch.entries())
        pending.push({ name, node: watched(stored.then((results) => results[k] ?? null)) })
    }
    const before = subdirectories.length > 0 ? subtreesOf(parentTree, place) : undefined
    for (const { name } of subdirectories) {
      const child: Place = {
        name,
        path: joinPath(place.path, name),
        shown: joinPath(place.shown, name),
        before: before?.get(name),
      }
      try {
        const stat = lstatSync(fsPath(child.path), { bigint: true })
        // a mount point is kept as the empty directory it is on this file system
        const elsewhere = selection.oneFileSystem && stat.dev !== device
        pending.push(
          elsewhere
            ? {
                name,
                node: Promise.resolve(
                  encodeNode({ ...nodes.fromStat(name, child.path, stat), subtree: await saveTree([]) }),
                ),
              }
            : await saver.directory(child, stat),
        )
      } catch (error) {
        pending.push(leftOut(child, error))
      }
    }
    return inTreeOrder(pending, entries)
  }
  const saver: TreeSaver = {
    tree,
    async entry(place) {
      const slash = place.path.lastIndexOf('/')
      const directory = slash < 0 ? '.' : place.path.slice(0, slash) || '/'
      const name = place.path.slice(slash + 1)
      const above = place.shown.slice(0, place.shown.lastIndexOf('/')) || '/'
      const { stored } = await files(
        { ...place, path: directory, shown: above },
        [{ name, kind: '?' }],
        undefined,
      )
      return { name: place.name, node: watched(stored.then(([node]) => node ?? null)) }
    },
    async directory(place, stat) {
      mayGoOn()
      let entries: readonly DirectoryEntry[]
      try {
        entries = selection.select(place.shown, listDirectory(place.path))
      } catch (error) {
        return leftOut(place, error)
      }
      const children = await contents(place, entries, stat.dev)
      const finish = async (): Promise<string> => {
        const subtree = await tree(children)
        const code =
          place.before === undefined ? ENTRY_NEW : place.before === subtree ? ENTRY_UNCHANGED : ENTRY_MODIFIED
        tally.entry(`${place.shown}/`, code, 0)
        const node: TreeNode = nodes.fromStat(place.name, place.path, stat)
        return encodeNode({ ...node, subtree })
      }
      return { name: place.name, node: watched(finish()) }
    },
  }
  return saver
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

function inTreeOrder(pending: readonly PendingNode[], entries: readonly DirectoryEntry[]): PendingNode[] {
  const byName = new Map(pending.map((p) => [p.name, p]))
  return entries.map(({ name }) => byName.get(name)).filter((p) => p !== undefined)
}

/** Lets `limit` callers in at a time; leaving is by disposal. */
function createGate(limit: number): { enter(): Promise<AsyncDisposable> } {
  let inside = 0
  const queue: (() => void)[] = []
  return {
    async enter() {
      while (inside >= limit) await new Promise<void>((resolve) => queue.push(resolve))
      inside++
      return {
        [Symbol.asyncDispose]: async () => {
          inside--
          queue.shift()?.()
          await Promise.resolve()
        },
      }
    },
  }
}
