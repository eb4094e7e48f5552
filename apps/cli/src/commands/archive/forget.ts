import {
  describePolicy,
  type ForgetGroup,
  type ForgetResult,
  forget,
  type GroupBy,
  type RetentionPolicy,
} from '@holdfast/archive'
import type { Command } from 'commander'
import { type ExitStatus, exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import type { Screen } from '../../terminal/screen.ts'
import type { Verb } from '../verb.ts'
import { addForgetFlags, type ForgetFlags, type ForgetOptions, parseForget } from './forget-flags.ts'
import { withRepository } from './open-repository.ts'
import { runPrune } from './prune.ts'
import { snapshotJson } from './snapshot-json.ts'
import { describeGroup, formatSnapshots } from './snapshot-text.ts'

export const forgetVerb: Verb<ForgetFlags, ForgetOptions> = {
  path: ['forget'],
  summary: 'remove snapshots, by policy or by name',
  description:
    'Removes the snapshots named, or those that the --keep flags do not keep; the policy is applied to each group\n(--group-by) by itself. Every snapshot kept is shown with the reason. The data stays until prune is run, or\n--prune is given.',
  operands: ['[snapshot...]'],
  exit: { opens: true, incomplete: 'some snapshots could not be removed' },
  examples: [
    'holdfast archive forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run',
    'holdfast archive forget --keep-within 30d --keep-tag release --prune',
  ],
  addFlags: (command: Command) => addForgetFlags(command),
  parse: parseForget,
  run: async (options, cli) =>
    await withRepository(
      options.repository,
      cli,
      { lock: 'exclusive', output: options.output },
      async (repository, signal) => {
        const { ids, filter, policy, groupBy, dryRun, output } = options
        const result = await forget(repository, {
          ids,
          filter,
          policy,
          groupBy,
          dryRun,
          unsafeAllowRemoveAll: options.allowRemoveAll,
          now: cli.now(),
          lock: 'held',
          signal,
        })
        print(result, options, cli.screen)
        const status: ExitStatus = result.failed.length > 0 ? exitStatus.incomplete : exitStatus.done
        if (options.prune === undefined || result.plan.remove.length === 0) return status
        const ignoreSnapshots = dryRun
          ? { ignoreSnapshots: new Set(result.plan.remove.map(({ id }) => id)) }
          : {}
        const pruned = await runPrune(
          { ...options.prune, ...ignoreSnapshots, dryRun, lock: 'held', signal },
          { repository, cli, output },
        )
        return status === exitStatus.done ? pruned : status
      },
    ),
}

function print(result: ForgetResult, options: ForgetOptions, screen: Screen): void {
  const { output, policy, dryRun } = options
  for (const { id, error } of result.damaged)
    screen.warn(`error: snapshot ${id.slice(0, 8)} cannot be read and is left alone: ${error.message}`)
  for (const { id, error } of result.failed)
    screen.warn(`error: snapshot ${id.slice(0, 8)} could not be removed: ${error.message}`)
  if (output.json) {
    // restic prints groups for a policy only, and nothing for snapshots that were named.
    if (options.ids.length === 0) screen.print(jsonLine(result.plan.groups.map(groupJson)))
    return
  }
  if (output.quiet) return
  if (options.ids.length === 0)
    for (const line of formatPlan(result, {
      policy,
      groupBy: options.groupBy,
      compact: options.compact,
      width: screen.outputWidth(),
    }))
      screen.print(line)
  const names = result.plan.remove.map(({ id }) => id.slice(0, 8)).join(' ')
  if (dryRun)
    screen.print(
      names === ''
        ? 'Would have removed nothing.'
        : `Would have removed the following snapshots:\n{${names}}`,
    )
  else
    screen.print(
      `removed ${result.removed.length} snapshots${result.removed.length > 0 && options.ids.length > 0 ? `: ${names}` : ''}`,
    )
}

export interface PlanStyle {
  readonly policy: RetentionPolicy
  readonly groupBy: GroupBy
  readonly compact: boolean
  readonly width: number | undefined
}

/** What is kept and why, and what goes, group by group. Pure apart from the process's time zone. */
export function formatPlan(result: ForgetResult, style: PlanStyle): readonly string[] {
  const lines = [`Applying Policy: ${describePolicy(style.policy)}`]
  for (const group of result.plan.groups) {
    if (result.plan.groups.length > 1 || group.key.host !== '')
      lines.push(`snapshots for ${describeGroup(group.key, style.groupBy)}:`, '')
    lines.push(...formatHalf('keep', group.keep, style), ...formatHalf('remove', group.remove, style))
  }
  return lines
}

function formatHalf(word: 'keep' | 'remove', half: ForgetGroup['keep'], style: PlanStyle): readonly string[] {
  if (half.length === 0) return []
  const oldestFirst = half.toReversed()
  const table = formatSnapshots(
    oldestFirst.map(({ snapshot }) => snapshot),
    {
      ...style,
      reasons: new Map(
        oldestFirst.map(({ snapshot, reasons }) => [snapshot.id, word === 'keep' ? reasons : []]),
      ),
    },
  )
  return [`${word} ${half.length} snapshots:`, ...table, '']
}

/** One group in restic's JSON. Pure. */
export function groupJson(group: ForgetGroup): object {
  const nullIfEmpty = (list: readonly unknown[]): readonly unknown[] | null =>
    list.length === 0 ? null : list
  return {
    tags: nullIfEmpty(group.key.tags),
    host: group.key.host,
    paths: nullIfEmpty(group.key.paths),
    keep: nullIfEmpty(group.keep.map(({ snapshot }) => snapshotJson(snapshot))),
    remove: nullIfEmpty(group.remove.map(({ snapshot }) => snapshotJson(snapshot))),
    reasons: nullIfEmpty(
      group.keep.map(({ snapshot, reasons }) => ({ snapshot: snapshotJson(snapshot), matches: reasons })),
    ),
  }
}
