import { type DiffCounts, type DiffResult, diffTrees, resolveTree } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { formatSize } from '../../terminal/format-size.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { quoteName } from '../../terminal/quote-name.ts'
import type { Verb } from '../verb.ts'
import { withRepository } from './open-repository.ts'

import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

export interface DiffOptions extends CommonOptions {
  readonly from: string
  readonly to: string
  readonly metadata: boolean
}

interface DiffFlags extends RepositoryFlags {
  readonly metadata?: boolean
}

export const diffVerb: Verb<DiffFlags, DiffOptions> = {
  path: ['diff'],
  summary: 'show what changed between two snapshots',
  description: `Shows what changed from the first to the second snapshot:
  +  added
  -  removed
  M  contents changed
  U  metadata changed (with --metadata)
  T  became another type, such as a symlink
  ?  contents changed though all metadata is the same: bit rot?`,
  operands: ['<snapshot[:subfolder]>', '<snapshot[:subfolder]>'],
  exit: { opens: true },
  examples: [
    'holdfast archive diff 0c7e3bea latest',
    'holdfast archive diff 0c7e3bea:/etc latest:/etc --metadata',
  ],
  addFlags: (command: Command) => {
    command.option('--metadata', 'also show what changed in metadata only')
    addRepositoryFlags(command)
  },
  parse: ({ operands, flags, environment }) => ({
    ...parseCommon(flags, environment),
    from: operands[0] ?? '',
    to: operands[1] ?? '',
    metadata: flags.metadata === true,
  }),
  run: async ({ repository: source, output, from, to, metadata }, cli) =>
    await withRepository(source, cli, { lock: 'shared', output }, async (repository) => {
      const { screen } = cli
      await repository.loadIndex()
      const before = await resolveTree(repository, from)
      const after = await resolveTree(repository, to)
      if (!output.json && !output.quiet) {
        screen.print(
          `comparing snapshot ${before.snapshot.id.slice(0, 8)} to ${after.snapshot.id.slice(0, 8)}:`,
        )
        screen.print('')
      }
      const result = await diffTrees(
        repository,
        { from: before.tree, to: after.tree, metadata },
        ({ path, modifier }) => {
          screen.print(
            output.json
              ? jsonLine({ message_type: 'change', path, modifier })
              : `${modifier.padEnd(5)}${quoteName(path)}`,
          )
        },
      )
      if (output.json) screen.print(jsonLine(diffJson(result, before.snapshot.id, after.snapshot.id)))
      else if (!output.quiet) for (const line of formatDiff(result)) screen.print(line)
      for (const error of result.errors) screen.warn(`error: ${error.message}`)
      return result.errors.length > 0 ? exitStatus.failed : exitStatus.done
    }),
}

/** restic's summary. Pure. */
export function formatDiff({ added, removed, changedFiles }: DiffResult): readonly string[] {
  const five = (value: number): string => String(value).padStart(5)
  return [
    '',
    `Files:       ${five(added.files)} new, ${five(removed.files)} removed, ${five(changedFiles)} changed`,
    `Dirs:        ${five(added.dirs)} new, ${five(removed.dirs)} removed`,
    `Others:      ${five(added.others)} new, ${five(removed.others)} removed`,
    `Data Blobs:  ${five(added.dataBlobs)} new, ${five(removed.dataBlobs)} removed`,
    `Tree Blobs:  ${five(added.treeBlobs)} new, ${five(removed.treeBlobs)} removed`,
    `  Added:   ${formatSize(added.bytes)}`,
    `  Removed: ${formatSize(removed.bytes)}`,
  ]
}

/** restic's message. Pure. */
export function diffJson(result: DiffResult, source: string, target: string): object {
  return {
    message_type: 'statistics',
    source_snapshot: source,
    target_snapshot: target,
    changed_files: result.changedFiles,
    added: countsJson(result.added),
    removed: countsJson(result.removed),
  }
}

function countsJson({ files, dirs, others, dataBlobs, treeBlobs, bytes }: DiffCounts): object {
  return { files, dirs, others, data_blobs: dataBlobs, tree_blobs: treeBlobs, bytes }
}
