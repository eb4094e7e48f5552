import type { SnapshotFilter } from '@holdfast/archive'
import { type CheckResult, check } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { statusAsJson } from '../../terminal/print-error.ts'
import { type EventToJson, openProgress } from '../../terminal/progress.ts'
import type { Screen } from '../../terminal/screen.ts'
import { definedOnly } from '../../values/defined-only.ts'
import { parseReadSubset, type ReadSubset } from '../../values/read-subset.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags, parseFilter } from './filter-flags.ts'
import { withRepository } from './open-repository.ts'
import { addRepositoryFlags, type CommonOptions, parseCommon } from './repository-flags.ts'
import type { SnapshotFlags } from './snapshot-flags.ts'

export interface CheckOptions extends CommonOptions {
  /** How much of the data is read back. */
  readonly read: 'none' | 'all' | ReadSubset
  readonly filter: SnapshotFilter
}

interface CheckFlags extends SnapshotFlags {
  readonly readData?: boolean
  readonly readDataSubset?: ReadSubset
  readonly withCache?: boolean
}

export const checkVerb: Verb<CheckFlags, CheckOptions> = {
  path: ['check'],
  summary: 'test the repository for errors',
  description:
    'Tests that every snapshot, directory and index is there and whole, and that every pack has the size its index says. With --read-data all data is read back and compared with its hashes; --read-data-subset reads a part of it, so that a schedule can cover everything over time.',
  operands: [],
  exit: { opens: true },
  examples: [
    'holdfast archive check',
    'holdfast archive check --read-data-subset 1/7',
    'holdfast archive check --read-data-subset 2.5%',
  ],
  addFlags: (command: Command) => {
    command
      .option('--read-data', 'read all data back')
      .option(
        '--read-data-subset <subset>',
        'read a part: n/t, a share such as 2.5%, or a size such as 10G',
        parseReadSubset('--read-data-subset'),
      )
      .option('--with-cache', 'use the local cache (default: read everything from the repository)')
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ flags, environment }) => {
    if (flags.readData === true && flags.readDataSubset !== undefined) {
      throw new HoldfastError(
        'InvalidInput',
        'found --read-data and --read-data-subset, expected at most one of the two',
        { guidance: 'Leave one out.' },
      )
    }
    const common = parseCommon(flags, environment)
    const repository =
      flags.withCache === true ? common.repository : { ...common.repository, cacheDirectory: undefined }
    return {
      ...common,
      repository,
      read: flags.readData === true ? 'all' : (flags.readDataSubset ?? 'none'),
      filter: parseFilter(flags, environment),
    }
  },
  run: async ({ repository: target, output, read, filter }, cli) =>
    await withRepository(target, cli, { lock: 'shared', output }, async (repository, signal) => {
      const readData = read === 'none' ? undefined : read
      const result = await (async () => {
        using progress = openProgress({ screen: cli.screen, now: cli.now, output, toJson: checkEventJson })
        return await check(
          repository,
          { ...definedOnly({ readData }), filter, lock: 'held', signal },
          progress.sink,
        )
      })()
      if (output.json) cli.screen.print(jsonLine(checkJson(result)))
      else printCheck(result, output.quiet, cli.screen)
      if (result.ok) return exitStatus.done
      if (output.json) cli.screen.warn(statusAsJson(exitStatus.failed, 'repository contains errors'))
      return exitStatus.failed
    }),
}

function printCheck(result: CheckResult, quiet: boolean, screen: Screen): void {
  if (!quiet) for (const line of formatCheck(result)) screen.print(line)
  else if (!result.ok) screen.warn(`the repository has ${result.errorCount} errors`)
}

/** What was looked at, what is wrong is already told line by line, and what to do about it. Pure. */
export function formatCheck(result: CheckResult): readonly string[] {
  const { snapshots, trees, blobs, unusedBlobs, packs, packsRead, indexFiles } = result
  const lines = [
    `checked ${snapshots} snapshots, ${trees} directories, ${blobs} blobs (${unusedBlobs} unused), ${packs} packs, ${indexFiles} index files`,
  ]
  if (packsRead > 0) lines.push(`read ${packsRead} packs`)
  for (const { place, message } of result.notes) lines.push(`note: ${place}: ${message}`)
  if (result.ok) return [...lines, ...suggest(result), 'no errors were found']
  return [...lines, `the repository has ${result.errorCount} errors`, ...suggest(result)]
}

function suggest(result: CheckResult): readonly string[] {
  const lines: string[] = []
  if (result.suggestRepairIndex) lines.push('Run repair index: the index and the packs do not agree.')
  if (result.brokenPacks.length > 0) {
    lines.push(
      'Damaged packs: first make a copy of the repository if you can, then run',
      `  holdfast archive repair packs ${result.brokenPacks.join(' ')}`,
      '  holdfast archive repair snapshots --forget',
    )
  }
  if (result.suggestPrune) lines.push('Run prune: it tidies up what the notes say.')
  return lines
}

/** restic's message. Pure. */
export function checkJson(result: CheckResult): object {
  return {
    message_type: 'summary',
    num_errors: result.errorCount,
    broken_packs: result.brokenPacks.length === 0 ? null : result.brokenPacks,
    suggest_repair_index: result.suggestRepairIndex,
    suggest_prune: result.suggestPrune,
  }
}

/** Only errors have a message in restic's check. Pure. */
export const checkEventJson: EventToJson = (event) =>
  event.kind === 'error'
    ? {
        message_type: 'error',
        message: event.path === '' ? event.message : `${event.path}: ${event.message}`,
      }
    : undefined
