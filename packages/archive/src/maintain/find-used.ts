import type { Hex } from '../format/ids.ts'
import type { BlobType } from '../format/pack-header.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import type { Repository } from '../repository/repository.ts'
import { type BitSet, createBitSet } from './bit-set.ts'
import type { BlobNumbers } from './blob-numbers.ts'
import { openTreeReader } from './tree-reader.ts'
import { walkTrees } from './walk-trees.ts'

export interface MissingBlob {
  readonly type: BlobType
  readonly id: Hex
  /** The file or directory that refers to it, as `snapshot 1a2b3c4d:/etc/hosts`. */
  readonly path: string
  readonly reason: string
}

export interface UsedBlobs {
  /** By blob number: what the snapshots reach. */
  readonly used: BitSet
  /** At most `maxMissingListed`; `missingCount` counts them all, repeats included. */
  readonly missing: readonly MissingBlob[]
  readonly missingCount: number
  readonly trees: number
}

export const maxMissingListed = 1000

/** Marks every blob that `snapshots` need, reading each tree once. Blobs not in the index and unreadable trees are listed. */
export async function findUsed(
  repo: Repository,
  numbers: BlobNumbers,
  snapshots: readonly StoredSnapshot[],
  options: { readonly signal?: AbortSignal | undefined; readonly onTree?: (done: number) => void } = {},
): Promise<UsedBlobs> {
  const used = createBitSet(numbers.count)
  const missing: MissingBlob[] = []
  let missingCount = 0
  let trees = 0
  const miss = (blob: MissingBlob): void => {
    missingCount += 1
    if (missing.length < maxMissingListed) {
      missing.push(blob)
    }
  }
  await walkTrees({
    roots: snapshots.map(({ id, tree }) => ({ id: tree, path: `snapshot ${id.slice(0, 8)}:/` })),
    reader: openTreeReader(repo),
    concurrency: Math.max(4, repo.store.connections),
    signal: options.signal,
    enter(id, path) {
      const number = numbers.of('tree', id)
      if (number < 0) {
        miss({ type: 'tree', id, path, reason: 'it is in no index' })
        return false
      }
      return used.add(number)
    },
    onTree(_id, nodes, path) {
      trees += 1
      options.onTree?.(trees)
      for (const node of nodes) {
        for (const id of node.content ?? []) {
          const number = numbers.of('data', id)
          if (number < 0) {
            miss({
              type: 'data',
              id,
              path: `${path}${path.endsWith('/') ? '' : '/'}${node.name}`,
              reason: 'it is in no index',
            })
          } else {
            used.add(number)
          }
        }
      }
    },
    onError(id, error, path) {
      miss({ type: 'tree', id, path, reason: error instanceof Error ? error.message : String(error) })
    },
  })
  return { used, missing, missingCount, trees }
}
