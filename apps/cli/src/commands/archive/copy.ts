import { type CopyResult, copySnapshots } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { formatSize } from '../../terminal/format-size.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { openProgress } from '../../terminal/progress.ts'
import type { Verb } from '../verb.ts'
import { refuseLocklessWriting } from './backup-flags.ts'
import { addFilterFlags, type FilterFlags, parseFilter } from './filter-flags.ts'
import { addFromFlags, type FromFlags, parseFrom } from './from-flags.ts'
import { withRepository } from './open-repository.ts'
import {
  addRepositoryFlags,
  parseCommon,
  type RepositoryFlags,
  type RepositoryOptions,
} from './repository-flags.ts'
import type { ManySnapshotsOptions } from './snapshot-flags.ts'

export interface CopyOptions extends ManySnapshotsOptions {
  readonly from: RepositoryOptions
}

interface CopyFlags extends RepositoryFlags, FilterFlags, FromFlags {}

export const copyVerb: Verb<CopyFlags, CopyOptions> = {
  path: ['copy'],
  summary: 'copy snapshots from another repository',
  description:
    'Copies the snapshots named, or all that the filter admits, from the source repository into this one. Snapshots that are here already are left out. Data is decrypted and encrypted anew; it deduplicates with backups made here only if this repository was made with --copy-chunker-params.',
  operands: ['[snapshot...]'],
  exit: { opens: true },
  examples: [
    'holdfast archive copy -r s3:https://s3.example.org/offsite --from-repo /srv/backup --from-password-file /etc/backup.pass',
  ],
  addFlags: (command: Command) => {
    addFromFlags(command)
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ operands, flags, environment }) => {
    refuseLocklessWriting('copy', flags)
    return {
      ...parseCommon(flags, environment),
      from: parseFrom(flags, environment),
      ids: operands,
      filter: parseFilter(flags, environment),
    }
  },
  run: async ({ repository: target, from: source, output, ids, filter }, cli) => {
    const reading = { lock: 'shared', what: 'password for source repository', output } as const
    return await withRepository(
      source,
      cli,
      reading,
      async (from) =>
        await withRepository(target, cli, { lock: 'shared', output }, async (repository, signal) => {
          const packBytes = target.packSize === undefined ? {} : { packBytes: target.packSize }
          const result = await (async () => {
            using progress = openProgress({ screen: cli.screen, now: cli.now, output })
            return await copySnapshots(
              repository,
              { from, fromLock: 'held', lock: 'held', ids, filter, signal, ...packBytes },
              progress.sink,
            )
          })()
          if (output.json) cli.screen.print(jsonLine(copyJson(result)))
          else if (!output.quiet) for (const line of formatCopy(result)) cli.screen.print(line)
          return exitStatus.done
        }),
    )
  },
}

/** Pure. */
export function formatCopy(result: CopyResult): readonly string[] {
  const short = (id: string): string => id.slice(0, 8)
  return [
    ...result.skipped.map(
      ({ sourceId, existingId }) => `snapshot ${short(sourceId)} is here already, as ${short(existingId)}`,
    ),
    ...result.copied.map(
      ({ sourceId, newId }) =>
        `snapshot ${short(newId)} saved, copied from source snapshot ${short(sourceId)}`,
    ),
    `copied ${result.copied.length} snapshots, ${result.blobs} blobs, ${formatSize(result.bytes)}`,
  ]
}

/** Ours: restic has no JSON for copy. Pure. */
export function copyJson(result: CopyResult): object {
  return {
    message_type: 'summary',
    copied: result.copied.map(({ sourceId, newId }) => ({
      source_snapshot_id: sourceId,
      snapshot_id: newId,
    })),
    skipped: result.skipped.map(({ sourceId, existingId }) => ({
      source_snapshot_id: sourceId,
      snapshot_id: existingId,
    })),
    blobs: result.blobs,
    bytes: result.bytes,
  }
}
