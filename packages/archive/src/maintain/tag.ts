import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import { encodeSnapshot, type Snapshot, type StoredSnapshot } from '../format/snapshot.ts'
import type { ProgressSink } from '../progress.ts'
import type { Repository } from '../repository/repository.ts'
import { type Selection, selectSnapshots } from './select-snapshots.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'

export interface TagOptions extends Selection, LockedOptions {
  /** Replaces all tags; [''] means none. Not together with add or remove. */
  readonly set?: readonly string[]
  readonly add?: readonly string[]
  readonly remove?: readonly string[]
}

export interface TagResult {
  readonly changed: readonly { readonly oldId: Hex; readonly newId: Hex; readonly tags: readonly string[] }[]
  readonly failed: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

/**
 * Changes the tags of snapshots, under an exclusive lock. A snapshot file cannot be changed, so a new one is
 * saved, with the first id kept as `original`, and only then the old one removed.
 * Throws InvalidInput when there is nothing to do or the options contradict each other.
 */
export async function tag(repo: Repository, options: TagOptions, report?: ProgressSink): Promise<TagResult> {
  const { set = [], add = [], remove = [] } = options
  if (set.length + add.length + remove.length === 0) {
    throw new HoldfastError('InvalidInput', 'no tags were given', {
      guidance: 'Give --set, --add or --remove.',
    })
  }
  if (set.length > 0 && add.length + remove.length > 0) {
    throw new HoldfastError('InvalidInput', 'tags cannot be set and added to or removed at the same time', {
      guidance: 'Give either --set, or --add and --remove.',
    })
  }
  return await underLock(repo, 'exclusive', options, async (signal) => {
    const { snapshots } = await selectSnapshots(repo, options)
    const changed: { readonly oldId: Hex; readonly newId: Hex; readonly tags: readonly string[] }[] = []
    const failed: { readonly id: Hex; readonly error: HoldfastError }[] = []
    for (const snapshot of snapshots) {
      const tags = changedTags(snapshot.tags, { set, add, remove })
      if (tags === undefined) {
        continue
      }
      throwIfStopped(signal)
      try {
        const newId = await replaceSnapshot(repo, snapshot, { tags })
        changed.push({ oldId: snapshot.id, newId, tags })
      } catch (error) {
        if (!isHoldfastError(error)) {
          throw error
        }
        failed.push({ id: snapshot.id, error })
        report?.({ kind: 'error', path: `snapshot/${snapshot.id}`, during: 'tag', message: error.message })
      }
    }
    return { changed, failed }
  })
}

/** The tags afterwards, or undefined when nothing changes. Setting always counts as a change, as in restic. Pure. */
export function changedTags(
  tags: readonly string[],
  change: {
    readonly set: readonly string[]
    readonly add: readonly string[]
    readonly remove: readonly string[]
  },
): readonly string[] | undefined {
  if (change.set.length > 0) {
    return change.set.length === 1 && change.set[0] === '' ? [] : [...change.set]
  }
  const result = [
    ...tags,
    ...change.add.filter((tag, i) => !tags.includes(tag) && change.add.indexOf(tag) === i),
  ]
  const left = result.filter((tag) => !change.remove.includes(tag))
  return left.length === tags.length && left.every((tag, i) => tag === tags[i]) ? undefined : left
}

/**
 * Saves `snapshot` with `changes` under a new id and then removes the old file. Interrupted in between, both
 * are there, which loses nothing.
 */
export async function replaceSnapshot(
  repo: Repository,
  snapshot: StoredSnapshot,
  changes: Partial<Snapshot>,
): Promise<Hex> {
  const { id: oldId, ...members } = snapshot
  const renewed: Snapshot = { ...members, original: members.original ?? oldId, ...changes }
  const newId = await repo.saveUnpacked('snapshot', encodeSnapshot(renewed))
  await repo.removeFile('snapshot', oldId)
  return newId
}
