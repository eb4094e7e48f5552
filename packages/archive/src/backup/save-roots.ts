import { lstatSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, resolve } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import { decodeTree, type TreeNode } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import type { BackupOptions } from './backup.ts'
import { ENTRY_NEW, type ReadingRules } from './backup-job.ts'
import type { Selection } from './exclude.ts'
import { listDirectory } from './list-directory.ts'
import type { SegmentChains } from './segment-chain.ts'
import { fsPath, type NodeMaker } from './stat-node.ts'
import { streamNode } from './stream-node.ts'
import type { Tally } from './tally.ts'
import {
  type BackupTarget,
  cleanPath,
  joinPath,
  snapshotComponents,
  type TargetTree,
  targetTree,
} from './target-tree.ts'
import { directoryCode, type EncodedNode, encode, type PendingNodes, type TreeSaver } from './tree-saver.ts'

export interface RootParts {
  readonly repository: Repository
  readonly saver: TreeSaver
  readonly chains: SegmentChains
  readonly nodes: NodeMaker
  readonly tally: Tally
  readonly selection: Pick<Selection, 'select'>
  readonly parent: StoredSnapshot | undefined
  readonly rules: ReadingRules
  readonly timeNs: bigint
}

/**
 * Stores all targets, streams and images; the id of the snapshot's tree. SourceUnreadable when there
 * was nothing that could be stored: an empty snapshot would look like a success.
 */
export async function saveRoots(parts: RootParts, options: BackupOptions): Promise<Hex> {
  const virtual = virtualTree()
  for (const { path } of options.streams ?? []) virtual.reserve(path)
  for (const image of options.images ?? []) virtual.reserve(resolve(image))
  const targets = (options.paths ?? []).flatMap((path) => expandTarget(parts, path))
  const paths = targetTree(targets, (path) => listSelected(parts, path))
  const level = await parentLevel(parts, parts.parent?.tree)
  const found: PendingNodes['nodes'][] = []
  const pending: PendingNodes[] = []
  for (const [name, node] of paths.children)
    pending.push(await saveTarget({ ...parts, found }, node, { name, level }))
  for (const stream of options.streams ?? [])
    virtual.add(stream.path, await saveStream(parts, stream.path, stream.open()))
  for (const image of options.images ?? [])
    virtual.add(resolve(image), await saveImage(parts, resolve(image)))
  const above = await virtual.save(parts)
  if (above.length === 0) await refuseNothing(found, options.paths ?? [])
  return await parts.saver.tree([...pending, ...above])
}

/** Unreadable targets have been reported one by one. */
async function refuseNothing(
  found: readonly PendingNodes['nodes'][],
  paths: readonly string[],
): Promise<void> {
  const targets = await Promise.all(found)
  if (targets.some((nodes) => nodes.some((node) => node !== null))) return
  throw new HoldfastError(
    'SourceUnreadable',
    `nothing of ${paths.join(', ')} could be read; no snapshot was made`,
    { guidance: 'Check that the paths exist and may be read, and what the excludes leave of them.' },
  )
}

/** A target without a name of its own (`.`, `..`, `/`) stands for its entries, to which excludes apply. */
function expandTarget(parts: RootParts, path: string): readonly BackupTarget[] {
  const clean = cleanPath(path)
  if (snapshotComponents(clean).length > 0) return [{ path: clean, explicit: true }]
  return listSelected(parts, clean).map((name) => ({
    path: clean === '.' ? name : joinPath(clean, name),
    explicit: false,
  }))
}

function listSelected(parts: RootParts, path: string): readonly string[] {
  const shown = resolve(path)
  try {
    return parts.selection.select(shown, listDirectory(path)).map(({ name }) => name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error
    parts.tally.problem({ path: shown, fatal: true, message: (error as Error).message })
    return []
  }
}

/** One directory of the parent snapshot. */
interface ParentLevel {
  readonly nodes: ReadonlyMap<string, TreeNode>
  /** Its tree as stored, for the workers. */
  readonly tree: Uint8Array<ArrayBuffer> | undefined
}

const NO_PARENT: ParentLevel = { nodes: new Map(), tree: undefined }

async function parentLevel(parts: RootParts, id: Hex | null | undefined): Promise<ParentLevel> {
  if (id === undefined || id === null) return NO_PARENT
  try {
    const tree = await parts.repository.loadBlob('tree', id)
    return { nodes: new Map(decodeTree(tree, `tree ${id}`).map((node) => [node.name, node])), tree }
  } catch (error) {
    const message = `tree ${id} of the parent snapshot cannot be read, so what is below is read again: ${(error as Error).message}`
    parts.tally.problem({ path: parts.parent?.id ?? '', fatal: false, message })
    return NO_PARENT
  }
}

interface TargetParts extends RootParts {
  /** Collects what became of every target. */
  readonly found: PendingNodes['nodes'][]
}

async function saveTarget(
  parts: TargetParts,
  target: TargetTree,
  at: { readonly name: string; readonly level: ParentLevel },
): Promise<PendingNodes> {
  if (target.path === undefined) return await saveAbove(parts, target, at)
  const saved = await saveLeaf(parts, { ...target, path: target.path }, at)
  parts.found.push(saved.nodes)
  return saved
}

async function saveLeaf(
  parts: TargetParts,
  target: TargetTree & { readonly path: string },
  at: { readonly name: string; readonly level: ParentLevel },
): Promise<PendingNodes> {
  const { saver, tally } = parts
  const { name, level } = at
  const { path } = target
  const shown = isAbsolute(path) ? path : resolve(path)
  try {
    const stat = lstatSync(fsPath(path), { bigint: true })
    const place = { name, path, shown, before: level.nodes.get(name) }
    if (!stat.isDirectory()) return await saver.entry(place, level.tree)
    if (target.explicit === true) return await saver.directory(place, stat)
    // met in a directory that was named, so it belongs to the file system of that one
    const above = lstatSync(fsPath(dirname(path)), { bigint: true })
    return await saver.subdirectory(place, above.dev)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error
    tally.problem({ path: shown, fatal: true, message: (error as Error).message })
    return { names: [name], nodes: Promise.resolve([null]) }
  }
}

/** A directory that is only the way to targets: its attributes and those entries. */
async function saveAbove(
  parts: TargetParts,
  target: TargetTree,
  at: { readonly name: string; readonly level: ParentLevel },
): Promise<PendingNodes> {
  const before = at.level.nodes.get(at.name)
  const level = await parentLevel(parts, before?.subtree)
  const children: PendingNodes[] = []
  for (const [name, child] of target.children) children.push(await saveTarget(parts, child, { name, level }))
  const path = target.attributesFrom ?? '/'
  const finish = async (): Promise<readonly EncodedNode[]> => {
    const subtree = await parts.saver.tree(children)
    const node = encode({ ...attributesAbove(parts, at.name, path), subtree })
    parts.tally.entry(`${resolve(path)}/`, directoryCode(before, node), 0)
    return [node]
  }
  const nodes = finish()
  // awaited with its siblings, maybe much later
  nodes.catch(() => undefined)
  return { names: [at.name], nodes }
}

/** The way may lead through a symbolic link; the snapshot has a directory there, as restic's do. */
function attributesAbove(parts: RootParts, name: string, path: string): TreeNode {
  try {
    return parts.nodes.fromStat(name, path, statSync(fsPath(path), { bigint: true }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error
    parts.tally.problem({ path: resolve(path), fatal: true, message: (error as Error).message })
    return virtualDirectory(name, null, parts.timeNs)
  }
}

async function saveStream(
  parts: RootParts,
  path: string,
  source: AsyncIterable<Uint8Array>,
): Promise<TreeNode> {
  const stored = await parts.chains.storeStream(source, parts.rules.fixedChunkBytes)
  parts.tally.entry(path, ENTRY_NEW, 0)
  return streamNode(basename(path), stored, parts.timeNs)
}

/** Devices are often named by links, which is why this one name, given by the user, is followed. */
async function saveImage(parts: RootParts, path: string): Promise<TreeNode> {
  try {
    const stored = await parts.chains.storeFile(realpathSync(path), parts.rules.fixedChunkBytes)
    parts.tally.entry(path, ENTRY_NEW, 0)
    return streamNode(basename(path), stored, parts.timeNs)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).errno === undefined) throw cause
    throw new HoldfastError('SourceUnreadable', `${path} cannot be read: ${(cause as Error).message}`, {
      place: path,
      cause,
    })
  }
}

interface VirtualTree {
  /** Takes a path; InvalidInput when it is none, or when it is taken or lies below one that is. */
  reserve(path: string): void
  /** Puts the node where `reserve` made room for it. */
  add(path: string, node: TreeNode): void
  save(parts: RootParts): Promise<PendingNodes[]>
}

/** Directories for streams and images, which have no directory to take attributes from. */
function virtualTree(): VirtualTree {
  type Level = Map<string, TreeNode | Level | undefined>
  const top: Level = new Map()
  const save = async (parts: RootParts, level: Level): Promise<PendingNodes[]> =>
    await Promise.all(
      [...level].map(async ([name, item]) => {
        if (item === undefined) return { names: [name], nodes: Promise.resolve([null]) }
        if (!(item instanceof Map))
          return { names: [name], nodes: Promise.resolve([encode({ ...item, name })]) }
        const subtree = await parts.saver.tree(await save(parts, item))
        const node = encode(virtualDirectory(name, subtree, parts.timeNs))
        return { names: [name], nodes: Promise.resolve([node]) }
      }),
    )
  const directoryOf = (path: string): { readonly level: Level; readonly name: string } => {
    const components = virtualComponents(path)
    const name = components.pop() ?? ''
    let level = top
    for (const component of components) {
      const next: Level | TreeNode | undefined = level.has(component) ? level.get(component) : new Map()
      if (!(next instanceof Map))
        throw new HoldfastError('InvalidInput', `${path} would lie below a file that is backed up as well`)
      level.set(component, next)
      level = next
    }
    return { level, name }
  }
  return {
    reserve(path) {
      const { level, name } = directoryOf(path)
      if (level.has(name)) throw new HoldfastError('InvalidInput', `${path} is backed up twice`)
      level.set(name, undefined)
    },
    add(path, node) {
      const { level, name } = directoryOf(path)
      level.set(name, node)
    },
    save: async (parts) => await save(parts, top),
  }
}

function virtualComponents(path: string): string[] {
  const components = path.split('/').filter((part) => part !== '')
  const isName = (part: string): boolean => part !== '.' && part !== '..' && !part.includes('\0')
  if (path.startsWith('/') && components.length > 0 && components.every(isName)) return components
  throw new HoldfastError('InvalidInput', `found ${JSON.stringify(path)} as the path of a stream`, {
    guidance: 'Give a path that begins with / and has neither . nor .. in it.',
  })
}

function virtualDirectory(name: string, subtree: Hex | null, timeNs: bigint): TreeNode {
  return {
    ...streamNode(name, { content: [], length: 0 }, timeNs),
    type: 'dir',
    mode: 2 ** 31 + 0o755,
    links: 0,
    content: null,
    subtree,
  }
}
