import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import type { ProgressSink } from '../progress.ts'
import type { SnapshotFilter } from '../repository/load-snapshots.ts'
import { mapConcurrently } from '../repository/map-concurrently.ts'
import type { Repository } from '../repository/repository.ts'
import {
  applyRetention,
  type GroupBy,
  groupSnapshots,
  isEmptyPolicy,
  type RetentionDecision,
  type RetentionPolicy,
  type SnapshotGroupKey,
  validatePolicy,
} from './retention.ts'
import { selectSnapshots } from './select-snapshots.ts'
import type { ZoneOffset } from './snapshot-clock.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'

export interface ForgetRules {
  /** Ignored when `ids` are given. */
  readonly policy?: RetentionPolicy
  /** By host and paths when left out. */
  readonly groupBy?: GroupBy
  readonly filter?: SnapshotFilter
  /** Removes exactly these: ids, prefixes or `latest`. */
  readonly ids?: readonly string[]
  /** Allows a group to lose its last snapshot, and an empty policy together with a filter. */
  readonly unsafeAllowRemoveAll?: boolean
}

export interface ForgetOptions extends ForgetRules, LockedOptions {
  readonly dryRun?: boolean
  /** Milliseconds since the epoch; now when left out. */
  readonly now?: number
  readonly zone?: ZoneOffset
}

export interface ForgetGroup {
  readonly key: SnapshotGroupKey
  /** Newest first. */
  readonly keep: readonly RetentionDecision[]
  readonly remove: readonly RetentionDecision[]
}

export interface ForgetPlan {
  readonly groups: readonly ForgetGroup[]
  /** Every snapshot to remove, over all groups. */
  readonly remove: readonly StoredSnapshot[]
}

export interface ForgetResult {
  readonly plan: ForgetPlan
  readonly executed: boolean
  readonly removed: readonly Hex[]
  readonly failed: readonly { readonly id: Hex; readonly error: HoldfastError }[]
  /** Snapshot files that could not be read. They are never removed by a policy, and no rule counts them. */
  readonly damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

const defaultGrouping: GroupBy = { host: true, paths: true, tags: false }

/**
 * Removes snapshots, by policy or by id, under an exclusive lock; the data stays until prune. Every kept and
 * every removed snapshot has its reasons in the plan. A removal that fails is reported, and the others go on.
 *
 * Errors: InvalidInput for an empty policy, or when a group would lose all its snapshots, unless
 * `unsafeAllowRemoveAll`; NotFound and Ambiguous for ids.
 */
export async function forget(
  repo: Repository,
  options: ForgetOptions,
  report?: ProgressSink,
): Promise<ForgetResult> {
  return await underLock(repo, 'exclusive', options, async (signal) => {
    const { filter = {}, ids = [] } = options
    const selected = await selectSnapshots(repo, { ids, filter })
    const now = options.now ?? Date.now()
    const context = options.zone === undefined ? { now } : { now, zone: options.zone }
    const plan =
      ids.length > 0
        ? planForgetIds(selected.all, selected.snapshots, options)
        : planForget(selected.snapshots, options, context)
    const { damaged } = selected
    if (options.dryRun === true) {
      return { plan, executed: false, removed: [], failed: [], damaged }
    }
    return { plan, executed: true, damaged, ...(await executeForget(repo, plan, { signal }, report)) }
  })
}

/** Decides by policy. Pure. Throws InvalidInput as `forget` does. */
export function planForget(
  snapshots: readonly StoredSnapshot[],
  rules: ForgetRules,
  context: { readonly now: number; readonly zone?: ZoneOffset },
): ForgetPlan {
  const policy = rules.policy ?? {}
  validatePolicy(policy)
  const filtered = Object.values(rules.filter ?? {}).some((values) => values.length > 0)
  if (isEmptyPolicy(policy) && !(rules.unsafeAllowRemoveAll === true && filtered)) {
    throw emptyPolicy(rules.unsafeAllowRemoveAll === true)
  }
  const groups = groupSnapshots(snapshots, rules.groupBy ?? defaultGrouping).map(
    ({ key, snapshots: members }) => {
      const decisions = applyRetention(members, policy, context)
      return {
        key,
        keep: decisions.filter(({ keep }) => keep),
        remove: decisions.filter(({ keep }) => !keep),
      }
    },
  )
  return checkedPlan(groups, rules)
}

/** Marks chosen snapshots for removal, within their groups. Whoever names the last one of a group means it. Pure. */
export function planForgetIds(
  all: readonly StoredSnapshot[],
  chosen: readonly StoredSnapshot[],
  rules: ForgetRules,
): ForgetPlan {
  const ids = new Set(chosen.map(({ id }) => id))
  const counters = { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 }
  const groups = groupSnapshots(all, rules.groupBy ?? defaultGrouping)
    .filter(({ snapshots }) => snapshots.some(({ id }) => ids.has(id)))
    .map(({ key, snapshots }) => {
      const decisions = snapshots.toReversed().map((snapshot) => {
        const keep = !ids.has(snapshot.id)
        return { snapshot, keep, reasons: [keep ? 'not named' : 'named on the command line'], counters }
      })
      return {
        key,
        keep: decisions.filter(({ keep }) => keep),
        remove: decisions.filter(({ keep }) => !keep),
      }
    })
  return { groups, remove: removedBy(groups) }
}

/** Removes what the plan says; the caller holds an exclusive lock. */
export async function executeForget(
  repo: Repository,
  plan: ForgetPlan,
  options: { readonly signal?: AbortSignal | undefined } = {},
  report?: ProgressSink,
): Promise<Pick<ForgetResult, 'removed' | 'failed'>> {
  const removed: Hex[] = []
  const failed: { readonly id: Hex; readonly error: HoldfastError }[] = []
  await mapConcurrently(plan.remove, repo.store.connections, async ({ id }) => {
    throwIfStopped(options.signal)
    try {
      await repo.removeFile('snapshot', id)
      removed.push(id)
      report?.({ kind: 'item', action: 'removed', path: `snapshot/${id}`, bytes: 0 })
    } catch (error) {
      if (!isHoldfastError(error)) {
        throw error
      }
      failed.push({ id, error })
      report?.({ kind: 'error', path: `snapshot/${id}`, during: 'forget', message: error.message })
    }
  })
  return { removed, failed }
}

function checkedPlan(groups: readonly ForgetGroup[], rules: ForgetRules): ForgetPlan {
  const emptied = groups.find(({ keep }) => keep.length === 0)
  if (emptied !== undefined && rules.unsafeAllowRemoveAll !== true) {
    throw new HoldfastError(
      'InvalidInput',
      `refusing to remove all ${emptied.remove.length} snapshots of the group ${describeGroup(emptied.key)}`,
      { guidance: 'Keep at least one, or give --unsafe-allow-remove-all if that is what you want.' },
    )
  }
  return { groups, remove: removedBy(groups) }
}

function removedBy(groups: readonly ForgetGroup[]): ForgetPlan['remove'] {
  return groups.flatMap(({ remove }) => remove.map(({ snapshot }) => snapshot))
}

function describeGroup({ host, paths, tags }: SnapshotGroupKey): string {
  const parts = [
    host === '' ? '' : `host ${host}`,
    paths.length === 0 ? '' : `paths ${paths.join(', ')}`,
    tags.length === 0 ? '' : `tags ${tags.join(', ')}`,
  ].filter((part) => part !== '')
  return parts.length === 0 ? '"all snapshots"' : `"${parts.join('; ')}"`
}

function emptyPolicy(unsafe: boolean): HoldfastError {
  return unsafe
    ? new HoldfastError(
        'InvalidInput',
        '--unsafe-allow-remove-all without a policy asks for every snapshot',
        {
          guidance: 'Restrict it with --host, --tag or --path.',
        },
      )
    : new HoldfastError('InvalidInput', 'no policy was given, so no snapshot is removed', {
        guidance: 'Give at least one --keep-* option, or the ids of the snapshots to remove.',
      })
}
