import { repairPacks } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
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

export interface RepairPacksOptions extends CommonOptions {
  readonly packs: readonly string[]
}

export const repairPacksVerb: Verb<RepositoryFlags, RepairPacksOptions> = {
  path: ['repair', 'packs'],
  summary: 'save what is intact in damaged packs',
  description:
    'Takes the intact blobs out of the packs named (full ids, as check prints them), stores them anew, and removes the packs. Run repair snapshots afterwards for what was lost.',
  operands: ['<pack...>'],
  exit: { opens: true },
  addFlags: (command: Command) => addRepositoryFlags(command),
  parse: ({ operands, flags, environment }) => {
    refuseLocklessWriting('repair packs', flags)
    const wrong = operands.find((id) => !/^[0-9a-f]{64}$/.test(id))
    if (wrong !== undefined) {
      throw new HoldfastError(
        'InvalidInput',
        `repair packs: found '${wrong}', expected the full id of a pack (64 hex digits)`,
        {
          guidance: 'Copy the ids that check prints.',
        },
      )
    }
    return { ...parseCommon(flags, environment), packs: operands }
  },
  run: async ({ repository: target, output, packs }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      const result = await (async () => {
        using progress = openProgress({ screen: cli.screen, now: cli.now, output })
        return await repairPacks(repository, packs, { lock: 'held', signal }, progress.sink)
      })()
      const lost = result.lost.filter(({ elsewhere }) => !elsewhere)
      if (output.json) {
        const blobs = lost.map(({ type, id, packId }) => ({ type, id, pack: packId }))
        cli.screen.print(
          jsonLine({
            message_type: 'summary',
            salvaged_blobs: result.salvaged,
            lost_blobs: blobs,
            removed_packs: result.removedPacks,
          }),
        )
        return exitStatus.done
      }
      cli.screen.print(
        `saved ${result.salvaged} blobs, lost ${lost.length}, removed ${result.removedPacks.length} packs`,
      )
      for (const { type, id, error } of lost) cli.screen.print(`lost ${type} ${id}: ${error.message}`)
      if (lost.length > 0)
        cli.screen.print(
          'Run repair snapshots --forget to make the snapshots that needed them restorable again.',
        )
      return exitStatus.done
    }),
}
