import { lstatSync, realpathSync } from 'node:fs'
import { basename, isAbsolute, resolve } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import type { BackupOptions } from './backup.ts'
import { ENTRY_NEW, type ReadingRules } from './backup-job.ts'
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
import { compareSubtrees, encode, type EncodedNode, type PendingNodes, type TreeSaver } from './tree-saver.ts'

export interface RootParts {
  readonly repository: Repository
  readonly saver: TreeSaver
  readonly chains: SegmentChains
  readonly nodes: NodeMaker
  readonly tally: Tally
  readonly parent: StoredSnapshot | undefined
  readonly rules: ReadingRules
  readonly timeNs: bigint
}

/** Stores all targets, streams and images; the id of the snapshot's tree. */
export async function saveRoots(parts: RootParts, options: BackupOptions): Promise<Hex> {
  const targets = (options.paths ?? []).flatMap(expandTarget)
  const paths = targetTree(targets, (path) => listDirectory(path).map(({ name }) => name))
  const pending: PendingNodes[] = []
  const before = await parentNodes(parts, parts.parent?.tree)
  for (const [name, node] of paths.children)
    pending.push(await saveTarget(parts, node, { name, before: before.get(name)?.subtree ?? undefined }))
  const virtual = virtualTree()
  for (const stream of options.streams ?? [])
    virtual.add(stream.path, await saveStream(parts, stream.path, stream.open()))
  for (const image of options.images ?? [])
    virtual.add(resolve(image), await saveImage(parts, resolve(image)))
  pending.push(...(await virtual.save(parts)))
  return await parts.saver.tree(pending)
}

/** A target without a name of its own (`.`, `..`, `/`) stands for its entries. */
function expandTarget(path: string): readonly BackupTarget[] {
  const clean = cleanPath(path)
  if (snapshotComponents(clean).length > 0) return [{ path: clean, explicit: true }]
  return listDirectory(clean).map(({ name }) => ({
    path: clean === '.' ? name : joinPath(clean, name),
    explicit: false,
  }))
}

async function parentNodes(parts: RootParts, tree: Hex | undefined): Promise<ReadonlyMap<string, TreeNode>> {
  if (tree === undefined) return new Map()
  try {
    return new Map((await parts.repository.loadTree(tree)).map((node) => [node.name, node]))
  } catch (error) {
    const message = `tree ${tree} of the parent snapshot cannot be read, so what is below is read again: ${(error as Error).message}`
    parts.tally.problem({ path: parts.parent?.id ?? '', fatal: false, message })
    return new Map()
  }
}

async function saveTarget(
  parts: RootParts,
  target: TargetTree,
  at: { readonly name: string; readonly before: Hex | undefined },
): Promise<PendingNodes> {
  const { saver, tally } = parts
  const { name, before } = at
  if (target.path === undefined) return await saveAbove(parts, target, at)
  const shown = isAbsolute(target.path) ? target.path : resolve(target.path)
  try {
    const stat = lstatSync(fsPath(target.path), { bigint: true })
    const place = { name, path: target.path, shown, before }
    return stat.isDirectory() ? await saver.directory(place, stat) : await saver.entry(place)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error
    tally.problem({ path: shown, fatal: true, message: (error as Error).message })
    return { names: [name], nodes: Promise.resolve([null]) }
  }
}

/** A directory that is only the way to targets: its attributes and those entries. */
async function saveAbove(
  parts: RootParts,
  target: TargetTree,
  at: { readonly name: string; readonly before: Hex | undefined },
): Promise<PendingNodes> {
  const before = await parentNodes(parts, at.before)
  const children: PendingNodes[] = []
  for (const [name, child] of target.children) {
    children.push(await saveTarget(parts, child, { name, before: before.get(name)?.subtree ?? undefined }))
  }
  const path = target.attributesFrom ?? '/'
  const finish = async (): Promise<readonly EncodedNode[]> => {
    const subtree = await parts.saver.tree(children)
    parts.tally.entry(`${path}/`, compareSubtrees(at.before, subtree), 0)
    const stat = lstatSync(fsPath(path), { bigint: true })
    return [encode({ ...parts.nodes.fromStat(at.name, path, stat), subtree })]
  }
  const nodes = finish()
  // awaited with its siblings, maybe much later
  nodes.catch(() => undefined)
  return { names: [at.name], nodes }
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
  add(path: string, node: TreeNode): void
  save(parts: RootParts): Promise<PendingNodes[]>
}

/** Directories for streams and images, which have no directory to take attributes from. */
function virtualTree(): VirtualTree {
  type Level = Map<string, TreeNode | Level>
  const top: Level = new Map()
  const save = async (parts: RootParts, level: Level): Promise<PendingNodes[]> =>
    await Promise.all(
      [...level].map(async ([name, item]) => {
        if (!(item instanceof Map))
          return { names: [name], nodes: Promise.resolve([encode({ ...item, name })]) }
        const subtree = await parts.saver.tree(await save(parts, item))
        const directory = {
          ...streamNode(name, { content: [], length: 0 }, parts.timeNs),
          type: 'dir' as const,
          mode: 2 ** 31 + 0o755,
          links: 0,
          content: null,
          subtree,
        }
        return { names: [name], nodes: Promise.resolve([encode(directory)]) }
      }),
    )
  return {
    add(path, node) {
      const components = path.split('/').filter((part) => part !== '')
      const name = components.pop() ?? ''
      let level = top
      for (const component of components) {
        const next = level.get(component)
        const below: Level = next instanceof Map ? next : new Map()
        level.set(component, below)
        level = below
      }
      if (level.has(name)) throw new HoldfastError('InvalidInput', `${path} is backed up twice`)
      level.set(name, node)
    },
    save: async (parts) => await save(parts, top),
  }
}
