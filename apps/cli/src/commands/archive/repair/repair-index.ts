import { type RepairIndexResult, repairIndex } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../../exit-codes.ts'
import { jsonLine } from '../../../terminal/json-line.ts'
import { openProgress } from '../../../terminal/progress.ts'
import type { Verb } from '../../verb.ts'
import { refuseLocklessWriting } from '../backup-flags.ts'
import { withRepository } from '../open-repository.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from '../repository-flags.ts'

export interface RepairIndexOptions extends CommonOptions {
  readonly readAllPacks: boolean
}

interface RepairIndexFlags extends RepositoryFlags {
  readonly readAllPacks?: boolean
}

export const repairIndexVerb: Verb<RepairIndexFlags, RepairIndexOptions> = {
  path: ['repair', 'index'],
  summary: 'make the index anew from the packs',
  description:
    'Makes the index agree with the packs that are there: missing ones are taken out, unknown ones are read and added.',
  operands: [],
  exit: { opens: true },
  addFlags: (command: Command) => {
    command.option('--read-all-packs', 'read every pack header instead of trusting the index')
    addRepositoryFlags(command)
  },
  parse: ({ flags, environment }) => {
    refuseLocklessWriting('repair index', flags)
    return { ...parseCommon(flags, environment), readAllPacks: flags.readAllPacks === true }
  },
  run: async ({ repository: target, output, readAllPacks }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      const result = await (async () => {
        using progress = openProgress({ screen: cli.screen, now: cli.now, output })
        return await repairIndex(repository, { readAllPacks, lock: 'held', signal }, progress.sink)
      })()
      if (output.json) cli.screen.print(jsonLine(repairIndexJson(result)))
      else if (!output.quiet) for (const line of formatRepairIndex(result)) cli.screen.print(line)
      for (const { id, error } of result.unreadablePacks)
        cli.screen.warn(`error: pack ${id} cannot be read: ${error.message}`)
      return result.unreadablePacks.length > 0 ? exitStatus.failed : exitStatus.done
    }),
}

/** Pure. */
export function formatRepairIndex(result: RepairIndexResult): readonly string[] {
  const lines: string[] = []
  for (const { id, error } of result.damagedIndexFiles)
    lines.push(`removed damaged index ${id}: ${error.message}`)
  for (const id of result.absentPacks) lines.push(`removed pack ${id} from the index: it is not there`)
  for (const id of result.indexedPacks) lines.push(`added pack ${id} to the index`)
  lines.push(
    `${result.writtenIndexFiles.length} index files written, ${result.removedIndexFiles.length} removed`,
    'done',
  )
  return lines
}

/** Ours: restic has no JSON for it. Pure. */
export function repairIndexJson(result: RepairIndexResult): object {
  return {
    message_type: 'summary',
    packs_added: result.indexedPacks,
    packs_absent: result.absentPacks,
    packs_unreadable: result.unreadablePacks.map(({ id }) => id),
    damaged_index_files: result.damagedIndexFiles.map(({ id }) => id),
    index_files_written: result.writtenIndexFiles.length,
    index_files_removed: result.removedIndexFiles.length,
  }
}
