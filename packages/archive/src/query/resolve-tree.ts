import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import { findSnapshot, type SnapshotFilter } from '../repository/load-snapshots.ts'
import type { Repository } from '../repository/repository.ts'
import { findSubtree, splitSnapshotPath } from './find-subtree.ts'

export interface ResolvedTree {
  readonly snapshot: StoredSnapshot
  /** As given after the colon; '' when there was none. */
  readonly subfolder: string
  readonly tree: Hex
}

/** What `snapshot` or `snapshot:subfolder` means. Needs loadIndex. Throws NotFound, Ambiguous or InvalidInput. */
export async function resolveTree(
  repository: Repository,
  ref: string,
  filter: SnapshotFilter = {},
): Promise<ResolvedTree> {
  const { snapshot: id, subfolder } = splitSnapshotPath(ref)
  const snapshot = await findSnapshot(repository, id, filter)
  return { snapshot, subfolder, tree: await findSubtree(repository, snapshot.tree, subfolder) }
}
