import type { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import {
  findSnapshot,
  loadSnapshots,
  matchesFilter,
  type SnapshotFilter,
} from '../repository/load-snapshots.ts'
import type { Repository } from '../repository/repository.ts'

export interface Selection {
  /** Ids, prefixes or `latest`; empty: all that match the filter. */
  readonly ids?: readonly string[]
  /** For `latest`, and when no ids are given. */
  readonly filter?: SnapshotFilter
}

export interface SelectedSnapshots {
  /** Oldest first, each once. */
  readonly snapshots: readonly StoredSnapshot[]
  readonly all: readonly StoredSnapshot[]
  readonly damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

/** The snapshots that ids or a filter select. Throws NotFound or Ambiguous for an id that is not exactly one. */
export async function selectSnapshots(repo: Repository, selection: Selection): Promise<SelectedSnapshots> {
  const { snapshots: all, damaged } = await loadSnapshots(repo)
  const ids = selection.ids ?? []
  if (ids.length === 0) {
    const filter = selection.filter ?? {}
    return { snapshots: all.filter((snapshot) => matchesFilter(snapshot, filter)), all, damaged }
  }
  const wanted = new Set<Hex>()
  for (const ref of ids) {
    wanted.add((await findSnapshot(repo, ref, selection.filter ?? {})).id)
  }
  return { snapshots: all.filter(({ id }) => wanted.has(id)), all, damaged }
}
