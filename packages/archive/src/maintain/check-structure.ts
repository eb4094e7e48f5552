import { type HoldfastError, isHoldfastError } from '@holdfast/contract'
import { decodeConfig } from '../format/config.ts'
import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import type { TreeNode } from '../format/tree.ts'
import type { ProgressSink } from '../progress.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import { loadKeyFile } from '../repository/master-key.ts'
import { openAt, type Repository } from '../repository/repository.ts'
import { createBitSet } from './bit-set.ts'
import { numberBlobs } from './blob-numbers.ts'
import type { Findings } from './findings.ts'
import { packFileBytes } from './pack-use.ts'
import { readEveryIndexFile } from './repair-index.ts'
import { openTreeReader } from './tree-reader.ts'
import { walkTrees } from './walk-trees.ts'

/** Config, keys and locks: each must open, and hash to its name where it has one. */
export async function checkSmallFiles(repo: Repository, findings: Findings): Promise<void> {
  await findings.attempt('config', async () => {
    const sealed = await repo.store.load({ type: 'config', id: '' })
    decodeConfig(openAt(repo.sealer, sealed, 'config'), 'config')
  })
  for (const { id } of await repo.listFiles('key')) {
    await findings.attempt(`key/${id}`, async () => {
      await loadKeyFile(repo.store, id)
    })
  }
  for (const { id, size } of await repo.listFiles('lock')) {
    // An empty lock file is what an interrupted upload leaves behind; a lock that vanished was let go.
    if (size > 0) {
      await findings.attempt(`lock/${id}`, async () => await loadIfThere(repo, id))
    }
  }
}

async function loadIfThere(repo: Repository, id: Hex): Promise<void> {
  try {
    await repo.loadUnpacked('lock', id)
  } catch (error) {
    if (!isHoldfastError(error, 'NotFound')) {
      throw error
    }
  }
}

/** Reads all index files and notes what is wrong among them. Damaged ones are errors; the rest is returned. */
export async function checkIndexes(
  repo: Repository,
  findings: Findings,
): Promise<{ readonly index: BlobIndex; readonly files: number }> {
  const firstFile = new Map<Hex, { readonly file: Hex; readonly blobs: number }>()
  const { index, readable, damaged } = await readEveryIndexFile(repo, (pack, file) => {
    const first = firstFile.get(pack.id)
    if (first === undefined) {
      firstFile.set(pack.id, { file, blobs: pack.blobs.length })
    } else if (first.blobs === pack.blobs.length) {
      findings.note(
        'duplicate-pack',
        `pack/${pack.id}`,
        `is listed by the index files ${short(first.file)} and ${short(file)}`,
      )
    } else {
      findings.note(
        'incomplete-pack',
        `pack/${pack.id}`,
        `is listed differently by the index files ${short(first.file)} and ${short(file)}; repair index puts it right`,
      )
    }
  })
  for (const { id, error } of damaged) {
    findings.failure(`index/${id}`, error)
  }
  return { index, files: readable.length + damaged.length }
}

/** Compares the index with the pack files there are: presence and size, and mixed or unreferenced packs. */
export function checkPacks(index: BlobIndex, files: ReadonlyMap<Hex, number>, findings: Findings): void {
  for (const id of index.packs()) {
    const blobs = index.packBlobs(id)
    const size = files.get(id)
    const expected = packFileBytes(blobs)
    if (size === undefined) {
      findings.brokenPack(id, undefined, 'is in the index, but the file is not there')
    } else if (size !== expected) {
      findings.brokenPack(id, undefined, `has ${size} bytes; the index says ${expected}`)
    }
    if (blobs.some(({ type }) => type !== blobs[0]?.type)) {
      findings.note('mixed-pack', `pack/${id}`, 'holds both trees and data; prune separates them')
    }
  }
  for (const id of files.keys()) {
    if (!index.hasPack(id)) {
      findings.note(
        'unreferenced-pack',
        `pack/${id}`,
        'is in no index; an interrupted backup leaves such, and prune removes them',
      )
    }
  }
}

export interface TreeCheck {
  readonly trees: number
  readonly unusedBlobs: number
}

/** Follows every snapshot: each tree reads and hashes right, each blob a file names is in the index. */
export async function checkTrees(
  repo: Repository,
  context: {
    readonly index: BlobIndex
    readonly snapshots: readonly StoredSnapshot[]
    readonly signal: AbortSignal | undefined
  },
  findings: Findings,
  report?: ProgressSink,
): Promise<TreeCheck> {
  const { index, snapshots, signal } = context
  const numbers = numberBlobs(index)
  const used = createBitSet(numbers.count)
  let trees = 0
  const missing = (type: 'data' | 'tree', id: Hex, path: string): void =>
    findings.error('missing-blob', path, `needs ${type} blob ${id}, which is in no index`)
  await walkTrees({
    roots: snapshots.map(({ id, tree }) => ({ id: tree, path: `snapshot ${id.slice(0, 8)}:/` })),
    reader: openTreeReader(repo, index),
    concurrency: Math.max(4, repo.store.connections),
    signal,
    enter(id, path) {
      const number = numbers.of('tree', id)
      if (number < 0) {
        missing('tree', id, path)
        return false
      }
      return used.add(number)
    },
    onTree(id, nodes, path) {
      trees += 1
      report?.({ kind: 'status', phase: 'checking trees', filesDone: 0, bytesDone: 0, unitsDone: trees })
      for (const node of nodes) {
        const place = `${path}${path.endsWith('/') ? '' : '/'}${node.name}`
        checkNode(node, { place, tree: id }, findings)
        for (const blob of node.content ?? []) {
          const number = numbers.of('data', blob)
          if (number < 0) {
            missing('data', blob, place)
          } else {
            used.add(number)
          }
        }
      }
    },
    onError(id, error, path) {
      findings.failure(`${path} (tree ${id})`, error)
    },
  })
  return { trees, unusedBlobs: index.size - used.count() }
}

function checkNode(
  node: TreeNode,
  at: { readonly place: string; readonly tree: Hex },
  findings: Findings,
): void {
  if (node.type === 'file' && node.content === null) {
    findings.error('bad-tree', at.place, `is a file without a list of content, in tree ${at.tree}`)
  }
  if (node.type === 'dir' && node.subtree === null) {
    findings.error('bad-tree', at.place, `is a directory without a subtree, in tree ${at.tree}`)
  }
}

/** Names a failure that hides what a snapshot holds. */
export function checkSnapshotFiles(
  damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[],
  findings: Findings,
): void {
  for (const { id, error } of damaged) {
    findings.failure(`snapshot/${id}`, error)
  }
}

function short(id: Hex): string {
  return id.slice(0, 8)
}
