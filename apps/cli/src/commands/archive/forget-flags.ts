import {
  type GroupBy,
  isEmptyPolicy,
  parseGroupBy,
  parseKeepCount,
  parseRetentionDuration,
  type RetentionDuration,
  type RetentionPolicy,
  type SnapshotFilter,
} from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { invalidFlag } from '../../values/invalid-flag.ts'
import { repeated } from '../../values/repeated.ts'
import { tagList } from '../../values/tag-list.ts'
import type { Given } from '../verb.ts'
import { refuseLocklessWriting } from './backup-flags.ts'
import { addFilterFlags, type FilterFlags, parseFilter } from './filter-flags.ts'
import { addPruneFlags, type PruneChoices, type PruneFlags, parsePrune } from './prune-flags.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

export interface ForgetOptions extends CommonOptions {
  /** Named snapshots are forgotten whatever the policy says. */
  readonly ids: readonly string[]
  readonly filter: SnapshotFilter
  readonly policy: RetentionPolicy
  readonly groupBy: GroupBy
  readonly allowRemoveAll: boolean
  readonly compact: boolean
  readonly dryRun: boolean
  readonly prune: PruneChoices | undefined
}

export interface ForgetFlags extends RepositoryFlags, FilterFlags, PruneFlags {
  readonly keepLast?: number
  readonly keepHourly?: number
  readonly keepDaily?: number
  readonly keepWeekly?: number
  readonly keepMonthly?: number
  readonly keepYearly?: number
  readonly keepWithin?: RetentionDuration
  readonly keepWithinHourly?: RetentionDuration
  readonly keepWithinDaily?: RetentionDuration
  readonly keepWithinWeekly?: RetentionDuration
  readonly keepWithinMonthly?: RetentionDuration
  readonly keepWithinYearly?: RetentionDuration
  readonly keepTag?: readonly (readonly string[])[]
  readonly unsafeAllowRemoveAll?: boolean
  readonly compact?: boolean
  readonly groupBy?: string
  readonly dryRun?: boolean
  readonly prune?: boolean
}

const counts = [
  ['-l', 'last', ''],
  ['-H', 'hourly', ' hourly'],
  ['-d', 'daily', ' daily'],
  ['-w', 'weekly', ' weekly'],
  ['-m', 'monthly', ' monthly'],
  ['-y', 'yearly', ' yearly'],
] as const

export function addForgetFlags(command: Command): void {
  command
    .option('-n, --dry-run', 'remove nothing, say what would be removed')
    .option('--prune', 'remove the data that nothing refers to any more afterwards')
    .option(
      '-g, --group-by <what,...>',
      "apply the policy to each host, paths, tags apart (default host,paths; '' for all together)",
    )
    .option('-c, --compact', 'leave the paths out of the tables')
    .optionsGroup('Policy:')
  for (const [letter, period, adjective] of counts) {
    const flag = `--keep-${period}`
    command.option(
      `${letter}, ${flag} <n>`,
      `keep the last n${adjective} snapshots ('unlimited' for all)`,
      keepCount(flag),
    )
  }
  for (const period of ['', '-hourly', '-daily', '-weekly', '-monthly', '-yearly']) {
    const flag = `--keep-within${period}`
    const adjective = period === '' ? '' : ` ${period.slice(1)}`
    command.option(
      `${flag} <span>`,
      `keep${adjective} snapshots of this long before the newest, e.g. 1y5m7d2h`,
      keepSpan(flag),
    )
  }
  command
    .option(
      '--keep-tag <tag,...>',
      'keep snapshots with all of these tags (repeatable: any of the lists)',
      repeated(tagList),
    )
    .option('--unsafe-allow-remove-all', 'allow removing every snapshot of a group; needs a filter')
  addFilterFlags(command, { short: false })
  addPruneFlags(command)
  addRepositoryFlags(command)
}

/** Flags, operands and environment as one value. Pure but for the files that name a repository. */
export function parseForget({ operands, flags, environment }: Given<ForgetFlags>): ForgetOptions {
  refuseLocklessWriting('forget', flags)
  const policy = parsePolicy(flags)
  const allowRemoveAll = flags.unsafeAllowRemoveAll === true
  refuseEmpty(operands, policy, flags)
  return {
    ...parseCommon(flags, environment),
    ids: operands,
    filter: parseFilter(flags, environment),
    policy,
    groupBy: parseGroupBy(flags.groupBy ?? 'host,paths'),
    allowRemoveAll,
    compact: flags.compact === true,
    dryRun: flags.dryRun === true,
    prune: flags.prune === true ? parsePrune(flags) : undefined,
  }
}

function parsePolicy(flags: ForgetFlags): RetentionPolicy {
  const given = {
    last: flags.keepLast,
    hourly: flags.keepHourly,
    daily: flags.keepDaily,
    weekly: flags.keepWeekly,
    monthly: flags.keepMonthly,
    yearly: flags.keepYearly,
    within: flags.keepWithin,
    withinHourly: flags.keepWithinHourly,
    withinDaily: flags.keepWithinDaily,
    withinWeekly: flags.keepWithinWeekly,
    withinMonthly: flags.keepWithinMonthly,
    withinYearly: flags.keepWithinYearly,
    tags: flags.keepTag,
  }
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as RetentionPolicy
}

function refuseEmpty(ids: readonly string[], policy: RetentionPolicy, flags: ForgetFlags): void {
  if (ids.length > 0 || !isEmptyPolicy(policy)) return
  const filtered = [...(flags.host ?? []), ...(flags.tag ?? []), ...(flags.path ?? [])].length > 0
  if (flags.unsafeAllowRemoveAll === true && filtered) return
  throw new HoldfastError('InvalidInput', 'no policy was given: nothing says which snapshots to keep', {
    guidance: 'Give --keep-last, --keep-daily or another --keep flag, or name the snapshots to forget.',
  })
}

function keepCount(flag: string): (given: string) => number {
  return (given) => {
    try {
      return parseKeepCount(given)
    } catch {
      throw invalidFlag(flag, given, "a whole number or 'unlimited'")
    }
  }
}

function keepSpan(flag: string): (given: string) => RetentionDuration {
  return (given) => {
    try {
      return parseRetentionDuration(given)
    } catch {
      throw invalidFlag(flag, given, 'a span of years, months, days and hours such as 1y5m7d2h')
    }
  }
}
