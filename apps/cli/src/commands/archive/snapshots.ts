import {
  type GroupBy,
  groupSnapshots,
  parseGroupBy,
  type SnapshotFilter,
  type SnapshotGroup,
  type StoredSnapshot,
} from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import type { Screen } from '../../terminal/screen.ts'
import { wholeNumber } from '../../values/whole-number.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags, type FilterFlags, parseFilter } from './filter-flags.ts'
import { withRepository } from './open-repository.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'
import { selectSnapshots } from './select-snapshots.ts'
import { snapshotJson } from './snapshot-json.ts'
import { describeGroup, formatSnapshots } from './snapshot-text.ts'

export interface SnapshotsOptions extends CommonOptions {
  readonly ids: readonly string[]
  readonly filter: SnapshotFilter
  readonly groupBy: GroupBy
  /** Only so many, the newest, for each host and paths. */
  readonly latest: number | undefined
  readonly compact: boolean
}

interface SnapshotsFlags extends RepositoryFlags, FilterFlags {
  readonly compact?: boolean
  readonly groupBy?: string
  readonly latest?: number
}

export const snapshotsVerb: Verb<SnapshotsFlags, SnapshotsOptions> = {
  path: ['snapshots'],
  summary: 'list the snapshots',
  description: 'Lists the snapshots in the repository, oldest first.',
  operands: ['[snapshot...]'],
  exit: { opens: true },
  examples: ['holdfast archive snapshots --host web1 --latest 3', 'holdfast archive snapshots --json latest'],
  addFlags: (command: Command) => {
    const latest = wholeNumber('--latest', { least: 1, most: 1_000_000 })
    command
      .option('-c, --compact', 'leave the paths out, one tag on a line')
      .option('-g, --group-by <what,...>', 'a table for each host, paths and/or tags')
      .option('--latest <n>', 'only the newest n of each host and paths', latest)
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ operands, flags, environment }) => ({
    ...parseCommon(flags, environment),
    ids: operands,
    filter: parseFilter(flags, environment),
    groupBy: parseGroupBy(flags.groupBy ?? ''),
    latest: flags.latest,
    compact: flags.compact === true,
  }),
  run: async (options, cli) =>
    await withRepository(
      options.repository,
      cli,
      { lock: 'shared', output: options.output },
      async (repository) => {
        const chosen = await selectSnapshots(repository, options.ids, options.filter, cli)
        const groups = groupSnapshots(keepLatest(chosen, options.latest), options.groupBy)
        if (options.output.json) cli.screen.print(jsonLine(groupsJson(groups, options.groupBy)))
        else printGroups(groups, options, cli.screen)
        return exitStatus.done
      },
    ),
}

/** The newest `count` of each host and set of paths, in the order given. Pure. */
export function keepLatest(
  snapshots: readonly StoredSnapshot[],
  count: number | undefined,
): readonly StoredSnapshot[] {
  if (count === undefined) return snapshots
  const groups = groupSnapshots(snapshots, { host: true, paths: true, tags: false })
  const newest = new Set(groups.flatMap((group) => group.snapshots.slice(-count)))
  return snapshots.filter((snapshot) => newest.has(snapshot))
}

/** restic prints a bare array, and groups only when asked for them. Pure. */
export function groupsJson(groups: readonly SnapshotGroup[], by: GroupBy): readonly unknown[] {
  if (!isGrouped(by)) return groups.flatMap(({ snapshots }) => snapshots.map(snapshotJson))
  return groups.map(({ key, snapshots }) => ({
    group_key: { hostname: key.host, paths: nullIfEmpty(key.paths), tags: nullIfEmpty(key.tags) },
    snapshots: snapshots.map(snapshotJson),
  }))
}

function printGroups(groups: readonly SnapshotGroup[], options: SnapshotsOptions, screen: Screen): void {
  const style = { compact: options.compact, width: screen.outputWidth() }
  const shown = groups.length === 0 ? [{ key: { host: '', paths: [], tags: [] }, snapshots: [] }] : groups
  for (const group of shown) {
    if (isGrouped(options.groupBy))
      screen.print(`snapshots for ${describeGroup(group.key, options.groupBy)}:`)
    for (const line of formatSnapshots(group.snapshots, style)) screen.print(line)
  }
}

function isGrouped(by: GroupBy): boolean {
  return by.host || by.paths || by.tags
}

function nullIfEmpty(list: readonly string[]): readonly string[] | null {
  return list.length === 0 ? null : list
}
