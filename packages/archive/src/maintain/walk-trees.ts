import type { Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import type { TreeReader } from './tree-reader.ts'
import { throwIfStopped } from './under-lock.ts'

export interface TreeRoot {
  readonly id: Hex
  /** For messages: where this tree hangs, as `snapshot 1a2b3c4d:/`. */
  readonly path: string
}

export interface WalkTrees {
  readonly roots: readonly TreeRoot[]
  readonly reader: TreeReader
  /** Trees read at a time. */
  readonly concurrency: number
  /** Called once per reference to a tree, before it is read; false: it was seen before, leave it. */
  readonly enter: (id: Hex, path: string) => boolean
  readonly onTree: (id: Hex, nodes: readonly TreeNode[], path: string) => void
  /** A tree that cannot be read; the walk goes on. */
  readonly onError: (id: Hex, error: unknown, path: string) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads every tree below `roots` for which `enter` says yes, parents before children, several at a time. Only
 * references not yet followed are kept in memory; the last found go first, which keeps them few.
 */
export async function walkTrees(walk: WalkTrees): Promise<void> {
  const stack: TreeRoot[] = []
  const push = (id: Hex, path: string): void => {
    if (walk.enter(id, path)) {
      stack.push({ id, path })
    }
  }
  for (const root of walk.roots.toReversed()) {
    push(root.id, root.path)
  }
  const visit = async ({ id, path }: TreeRoot): Promise<void> => {
    let nodes: readonly TreeNode[]
    try {
      nodes = await walk.reader.load(id)
    } catch (error) {
      walk.onError(id, error, path)
      return
    }
    walk.onTree(id, nodes, path)
    for (const node of nodes) {
      if (node.type === 'dir' && node.subtree !== null) {
        push(node.subtree, `${path}${path.endsWith('/') ? '' : '/'}${node.name}`)
      }
    }
  }
  const running = new Set<Promise<void>>()
  try {
    while (stack.length > 0 || running.size > 0) {
      throwIfStopped(walk.signal)
      const next = running.size < walk.concurrency ? stack.pop() : undefined
      if (next === undefined) {
        await Promise.race(running)
        continue
      }
      const work: Promise<void> = visit(next).finally(() => running.delete(work))
      running.add(work)
    }
  } finally {
    await Promise.allSettled(running)
  }
}
