import type { StoredSnapshot } from '../format/snapshot.ts'

export interface ParentWish {
  readonly hostname: string
  /** Absolute, as the snapshot will name them. */
  readonly paths: readonly string[]
  readonly tags: readonly string[]
  /** What must agree; restic's default is host and paths. */
  readonly groupBy: ReadonlySet<'host' | 'paths' | 'tags'>
  /** A snapshot from later than this is no parent. Nanoseconds since 1970. */
  readonly beforeNs: bigint
}

/**
 * The newest snapshot that agrees in all of `groupBy` and is not newer than the new one. Pure: the
 * caller passes snapshots oldest first, with their times.
 */
export function chooseParent(
  snapshots: readonly { readonly snapshot: StoredSnapshot; readonly timeNs: bigint }[],
  wish: ParentWish,
): StoredSnapshot | undefined {
  const agrees = (s: StoredSnapshot): boolean =>
    (!wish.groupBy.has('host') || s.hostname === wish.hostname) &&
    (!wish.groupBy.has('paths') || sameSet(s.paths, wish.paths)) &&
    (!wish.groupBy.has('tags') || sameSet(s.tags, wish.tags))
  return snapshots.findLast(({ snapshot, timeNs }) => timeNs <= wish.beforeNs && agrees(snapshot))?.snapshot
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  const set = new Set(a)
  return set.size === new Set(b).size && b.every((item) => set.has(item))
}
