import {
  describePolicy,
  type ForgetGroup,
  type ForgetPlan,
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
    'Removes the snapshots named, or those that the --keep flags do not keep; the policy is applied to each group (--group-by) by itself. Every snapshot kept is shown with the reason, with -v also why the others are not. The data stays until prune is run, or --prune is given.',
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
  const { output, ids } = options
  const problem = (id: string, what: string, error: Error): void =>
    screen.warn(`error: snapshot ${id.slice(0, 8)} ${what}: ${error.message}`)
  for (const { id, error } of result.damaged) problem(id, 'cannot be read and is left alone', error)
  for (const { id, error } of result.failed) problem(id, 'could not be removed', error)
  // restic prints groups for a policy only, and nothing for snapshots that were named.
  if (output.json && ids.length === 0) screen.print(jsonLine(result.plan.groups.map(groupJson)))
  if (output.json || output.quiet) return
  if (ids.length === 0) {
    const { policy, groupBy, compact } = options
    const style = { policy, groupBy, compact, whyRemoved: output.verbose > 0, width: screen.outputWidth() }
    for (const line of formatPlan(result.plan, style)) screen.print(line)
  }
  for (const line of formatOutcome(result, options)) screen.print(line)
}

function formatOutcome(result: ForgetResult, { dryRun }: ForgetOptions): readonly string[] {
  const names = result.plan.remove.map(({ id }) => id.slice(0, 8)).join(' ')
  if (!dryRun) return [`removed ${result.removed.length} snapshots`]
  return names === ''
    ? ['Would have removed nothing.']
    : ['Would have removed the following snapshots:', `{${names}}`]
}

export interface PlanStyle {
  readonly policy: RetentionPolicy
  readonly groupBy: GroupBy
  readonly compact: boolean
  /** Also say of each removed snapshot why no rule kept it. */
  readonly whyRemoved: boolean
  readonly width: number | undefined
}

/** What is kept and why, and what goes, group by group. Pure apart from the process's time zone. */
export function formatPlan(plan: ForgetPlan, style: PlanStyle): readonly string[] {
  const { policy, groupBy, whyRemoved } = style
  const lines = [`Applying Policy: ${describePolicy(policy)}`]
  for (const { key, keep, remove } of plan.groups) {
    if (groupBy.host || groupBy.paths || groupBy.tags)
      lines.push(`snapshots for ${describeGroup(key, groupBy)}:`, '')
    lines.push(...formatDecisions('keep', keep, { ...style, why: true }))
    lines.push(...formatDecisions('remove', remove, { ...style, why: whyRemoved }))
  }
  return lines
}

function formatDecisions(
  word: string,
  decisions: ForgetGroup['keep'],
  style: PlanStyle & { readonly why: boolean },
): readonly string[] {
  if (decisions.length === 0) return []
  const oldestFirst = decisions.toReversed()
  const reasons = new Map(oldestFirst.map(({ snapshot, reasons }) => [snapshot.id, reasons]))
  const table = formatSnapshots(
    oldestFirst.map(({ snapshot }) => snapshot),
    { compact: style.compact, width: style.width, ...(style.why ? { reasons } : {}) },
  )
  return [`${word} ${decisions.length} snapshots:`, ...table, '']
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
