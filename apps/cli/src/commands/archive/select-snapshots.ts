import {
  findSnapshot,
  loadSnapshots,
  matchesFilter,
  type Repository,
  type SnapshotFilter,
  type StoredSnapshot,
} from '@holdfast/archive'
import type { Cli } from '../../cli.ts'

/**
 * The snapshots meant: those named (ids, prefixes or `latest`; the filter decides only `latest`), or,
 * where none is named, those the filter admits; oldest first. A name that fits nothing is an error.
 * Snapshot files that cannot be read are reported and left out.
 */
export async function selectSnapshots(
  repository: Repository,
  ids: readonly string[],
  filter: SnapshotFilter,
  cli: Cli,
): Promise<readonly StoredSnapshot[]> {
  if (ids.length > 0) {
    const found = new Map<string, StoredSnapshot>()
    for (const id of ids) {
      const snapshot = await findSnapshot(repository, id, filter)
      found.set(snapshot.id, snapshot)
    }
    return [...found.values()]
  }
  const { snapshots, damaged } = await loadSnapshots(repository)
  for (const { id, error } of damaged)
    cli.screen.warn(`error: snapshot ${id.slice(0, 8)} cannot be read: ${error.message}`)
  return snapshots.filter((snapshot) => matchesFilter(snapshot, filter))
}
