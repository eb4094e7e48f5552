import { HoldfastError } from '@holdfast/contract'
import { parseGoTime } from '../format/go-time.ts'
import type { Hex } from '../format/ids.ts'
import { decodeSnapshot, type StoredSnapshot } from '../format/snapshot.ts'
import { mapConcurrently } from './map-concurrently.ts'
import type { Repository } from './repository.ts'

export interface LoadedSnapshots {
  /** Oldest first; equal times by id. */
  readonly snapshots: readonly StoredSnapshot[]
  /** Snapshot files that could not be read. Nothing may be concluded about what they held. */
  readonly damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

/** Reads every snapshot file. A damaged one does not hide the others; a store that fails does fail it. */
export async function loadSnapshots(repository: Repository): Promise<LoadedSnapshots> {
  const files = await repository.listFiles('snapshot')
  const damaged: { readonly id: Hex; readonly error: HoldfastError }[] = []
  const loaded = await mapConcurrently(files, repository.store.connections, async ({ id }) => {
    try {
      return await loadSnapshot(repository, id)
    } catch (error) {
      // a snapshot forgotten between listing and reading is simply gone
      if (error instanceof HoldfastError && error.code === 'NotFound') return undefined
      if (!(error instanceof HoldfastError) || error.code === 'StoreUnavailable') throw error
      damaged.push({ id, error })
      return undefined
    }
  })
  const snapshots = loaded.filter((s) => s !== undefined).map((s) => ({ s, ns: parseGoTime(s.time) }))
  snapshots.sort((a, b) => (a.ns === b.ns ? (a.s.id < b.s.id ? -1 : 1) : a.ns < b.ns ? -1 : 1))
  return { snapshots: snapshots.map(({ s }) => s), damaged }
}

/** Reads one snapshot file by its full id. */
export async function loadSnapshot(repository: Repository, id: Hex): Promise<StoredSnapshot> {
  const json = await repository.loadUnpacked('snapshot', id)
  return { ...decodeSnapshot(json, `snapshot/${id}`), id }
}

export interface SnapshotFilter {
  /** Any of these. */
  readonly hosts?: readonly string[]
  /** Any of these lists; a list asks for all of its tags. An empty list asks for snapshots without tags. */
  readonly tags?: readonly (readonly string[])[]
  /** All of these. */
  readonly paths?: readonly string[]
}

export function matchesFilter(snapshot: StoredSnapshot, filter: SnapshotFilter): boolean {
  const { hosts = [], tags = [], paths = [] } = filter
  const hostMatches = hosts.length === 0 || hosts.includes(snapshot.hostname)
  const hasAll = (list: readonly string[]): boolean =>
    list.length === 0 || (list.length === 1 && list[0] === '')
      ? snapshot.tags.length === 0
      : list.every((tag) => snapshot.tags.includes(tag))
  const tagsMatch = tags.length === 0 || tags.some(hasAll)
  return hostMatches && tagsMatch && paths.every((path) => snapshot.paths.includes(path))
}

/**
 * The one snapshot meant by `ref`: `latest` among those the filter admits, a full id, or a prefix of
 * one (at least one digit). NotFound or Ambiguous otherwise: never a guess.
 */
export async function findSnapshot(
  repository: Repository,
  ref: string,
  filter: SnapshotFilter = {},
): Promise<StoredSnapshot> {
  if (ref === 'latest') return await latestSnapshot(repository, filter)
  if (!/^[0-9a-f]{1,64}$/.test(ref)) {
    throw new HoldfastError('InvalidInput', `"${ref}" is not a snapshot id`, {
      guidance: 'Give `latest`, or hex digits as `snapshots` prints them.',
    })
  }
  const ids = (await repository.listFiles('snapshot')).map(({ id }) => id).filter((id) => id.startsWith(ref))
  const [id] = ids
  if (id === undefined)
    throw new HoldfastError('NotFound', `no snapshot has an id beginning with ${ref}`, {
      guidance: 'List them with `holdfast archive snapshots`.',
    })
  if (ids.length > 1) {
    throw new HoldfastError('Ambiguous', `${ids.length} snapshots have ids beginning with ${ref}`, {
      guidance: `Give more digits: ${ids
        .slice(0, 5)
        .map((i) => i.slice(0, 12))
        .join(', ')}`,
    })
  }
  return await loadSnapshot(repository, id)
}

async function latestSnapshot(repository: Repository, filter: SnapshotFilter): Promise<StoredSnapshot> {
  const { snapshots, damaged } = await loadSnapshots(repository)
  const [unreadable] = damaged
  if (unreadable !== undefined) {
    throw new HoldfastError(
      'Damaged',
      `cannot tell which snapshot is the latest: snapshot/${unreadable.id} is unreadable`,
      {
        place: `snapshot/${unreadable.id}`,
        guidance: 'Name the snapshot by its id, or run `holdfast archive check`.',
        cause: unreadable.error,
      },
    )
  }
  const latest = snapshots.filter((s) => matchesFilter(s, filter)).at(-1)
  if (latest !== undefined) return latest
  const asked = Object.keys(filter).length > 0 ? ' that matches the filter' : ''
  throw new HoldfastError('NotFound', `the repository holds no snapshot${asked}`, {
    guidance: 'List them with `holdfast archive snapshots`.',
  })
}
