import type { SnapshotFilter } from '@holdfast/archive'
import type { Given } from '../verb.ts'
import { type FilterFlags, parseFilter } from './filter-flags.ts'
import { type CommonOptions, parseCommon, type RepositoryFlags } from './repository-flags.ts'

/** The options of verbs that look at one snapshot, named or the newest that a filter admits. */
export interface OneSnapshotOptions extends CommonOptions {
  /** Id, prefix or `latest`, with `:subfolder` where only a part is meant. */
  readonly snapshot: string
  readonly filter: SnapshotFilter
}

export type SnapshotFlags = RepositoryFlags & FilterFlags

export function parseOneSnapshot({ operands, flags, environment }: Given<SnapshotFlags>): OneSnapshotOptions {
  return {
    ...parseCommon(flags, environment),
    snapshot: operands[0] ?? 'latest',
    filter: parseFilter(flags, environment),
  }
}

/** The options of verbs that work on several snapshots. */
export interface ManySnapshotsOptions extends CommonOptions {
  readonly ids: readonly string[]
  readonly filter: SnapshotFilter
}

export function parseManySnapshots({
  operands,
  flags,
  environment,
}: Given<SnapshotFlags>): ManySnapshotsOptions {
  return {
    ...parseCommon(flags, environment),
    ids: operands,
    filter: parseFilter(flags, environment),
  }
}
