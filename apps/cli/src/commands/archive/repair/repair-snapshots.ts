import { type RepairedSnapshot, repairSnapshots } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../../exit-codes.ts'
import { jsonLine } from '../../../terminal/json-line.ts'
import { openProgress } from '../../../terminal/progress.ts'
import { quoteName } from '../../../terminal/quote-name.ts'
import type { Verb } from '../../verb.ts'
import { refuseLocklessWriting } from '../backup-flags.ts'
import { addFilterFlags } from '../filter-flags.ts'
import { withRepository } from '../open-repository.ts'
import { addRepositoryFlags } from '../repository-flags.ts'
import { type ManySnapshotsOptions, parseManySnapshots, type SnapshotFlags } from '../snapshot-flags.ts'

export interface RepairSnapshotsOptions extends ManySnapshotsOptions {
  readonly forget: boolean
  readonly dryRun: boolean
}

interface RepairSnapshotsFlags extends SnapshotFlags {
  readonly forget?: boolean
  readonly dryRun?: boolean
}

export const repairSnapshotsVerb: Verb<RepairSnapshotsFlags, RepairSnapshotsOptions> = {
  path: ['repair', 'snapshots'],
  summary: 'make damaged snapshots restorable again, without what is lost',
  description:
    'Makes a new snapshot of each damaged one, without the files and directories whose data is gone for good. Run repair index first. Where the source still exists, backing it up again is better: it brings missing data back.',
  operands: ['[snapshot...]'],
  exit: { opens: true },
  addFlags: (command: Command) => {
    command
      .option('-n, --dry-run', 'change nothing, say what would be done')
      .option('--forget', 'remove the damaged snapshots once the new ones are made')
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => {
    refuseLocklessWriting('repair snapshots', given.flags)
    return {
      ...parseManySnapshots(given),
      forget: given.flags.forget === true,
      dryRun: given.flags.dryRun === true,
    }
  },
  run: async ({ repository: target, output, ids, filter, forget, dryRun }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      const { repaired, intact, damaged } = await (async () => {
        using progress = openProgress({ screen: cli.screen, now: cli.now, output })
        return await repairSnapshots(
          repository,
          { ids, filter, forget, dryRun, lock: 'held', signal },
          progress.sink,
        )
      })()
      if (output.json) {
        for (const snapshot of repaired) cli.screen.print(jsonLine(repairedJson(snapshot)))
        cli.screen.print(
          jsonLine({
            message_type: 'summary',
            repaired_snapshots: repaired.length,
            intact_snapshots: intact,
            unreadable_snapshots: damaged.map(({ id }) => id),
          }),
        )
      } else {
        for (const snapshot of repaired)
          for (const line of formatRepaired(snapshot, dryRun)) cli.screen.print(line)
        for (const { id, error } of damaged)
          cli.screen.warn(`error: snapshot ${id.slice(0, 8)} cannot be read: ${error.message}`)
        cli.screen.print(
          repaired.length === 0
            ? 'no snapshots were modified'
            : `${dryRun ? 'would have modified' : 'modified'} ${repaired.length} snapshots`,
        )
      }
      return exitStatus.done
    }),
}

/** Pure. */
export function formatRepaired(snapshot: RepairedSnapshot, dryRun: boolean): readonly string[] {
  const { id, newId, outcome, paths, removed } = snapshot
  const what =
    outcome === 'nothing left'
      ? 'nothing of it can be saved'
      : dryRun
        ? 'would be repaired'
        : `saved as ${newId?.slice(0, 8)}`
  return [
    `snapshot ${id.slice(0, 8)}: ${what}${removed ? ', the damaged one removed' : ''}`,
    ...paths.map(({ path, change }) => `  ${quoteName(path)}: ${change}`),
  ]
}

/** Ours: restic has no JSON for it. Pure. */
export function repairedJson({ id, newId, outcome, paths, removed }: RepairedSnapshot): object {
  return { message_type: 'repaired', old_snapshot_id: id, new_snapshot_id: newId, outcome, removed, paths }
}
