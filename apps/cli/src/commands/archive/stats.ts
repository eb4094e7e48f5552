import { type StatsMode, type StatsResult, stats } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { formatSize } from '../../terminal/format-size.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { openProgress } from '../../terminal/progress.ts'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags } from './filter-flags.ts'
import { withRepository } from './open-repository.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { selectSnapshots } from './select-snapshots.ts'
import { type ManySnapshotsOptions, parseManySnapshots, type SnapshotFlags } from './snapshot-flags.ts'

const modes = ['restore-size', 'files-by-contents', 'blobs-per-file', 'raw-data'] as const

export interface StatsOptions extends ManySnapshotsOptions {
  readonly mode: StatsMode
}

interface StatsFlags extends SnapshotFlags {
  readonly mode?: StatsMode
}

export const statsVerb: Verb<StatsFlags, StatsOptions> = {
  path: ['stats'],
  summary: 'count files and bytes of snapshots',
  description: `Counts the files and bytes of the snapshots named, or of all:
  restore-size       what restoring them would write
  files-by-contents  files with the same contents count once
  blobs-per-file     the same, and their blobs
  raw-data           what they take in the repository, each blob once`,
  operands: ['[snapshot...]'],
  exit: { opens: true },
  addFlags: (command: Command) => {
    command.option('--mode <mode>', 'what to count (default restore-size)', choice('--mode', modes))
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => ({ ...parseManySnapshots(given), mode: given.flags.mode ?? 'restore-size' }),
  run: async ({ repository: source, output, ids, filter, mode }, cli) =>
    await withRepository(
      source,
      cli,
      { lock: 'shared', output, readsIndex: true },
      async (repository, signal) => {
        await repository.loadIndex()
        const snapshots = await selectSnapshots(repository, ids, filter, cli)
        const result = await (async () => {
          using progress = openProgress({ screen: cli.screen, now: cli.now, output })
          return await stats(repository, { snapshots, mode, signal }, progress.sink)
        })()
        if (output.json) cli.screen.print(jsonLine(statsJson(result)))
        else for (const line of formatStats(result, mode)) cli.screen.print(line)
        return exitStatus.done
      },
    ),
}

/** restic's lines. Pure. */
export function formatStats(result: StatsResult, mode: StatsMode): readonly string[] {
  const rows: [string, string][] = [['Snapshots processed', String(result.snapshotsCount)]]
  if (result.totalBlobCount > 0) rows.push(['Total Blob Count', String(result.totalBlobCount)])
  if (result.totalFileCount > 0) rows.push(['Total File Count', String(result.totalFileCount)])
  if (result.totalUncompressedSize > 0)
    rows.push(['Total Uncompressed Size', formatSize(result.totalUncompressedSize)])
  rows.push(['Total Size', formatSize(result.totalSize)])
  if (result.compressionProgress > 0)
    rows.push(['Compression Progress', `${result.compressionProgress.toFixed(2)}%`])
  if (result.compressionRatio > 0) rows.push(['Compression Ratio', `${result.compressionRatio.toFixed(2)}x`])
  if (result.compressionSpaceSaving > 0)
    rows.push(['Compression Space Saving', `${result.compressionSpaceSaving.toFixed(2)}%`])
  return [`Stats in ${mode} mode:`, ...rows.map(([title, value]) => `${title.padStart(24)}:  ${value}`)]
}

/** restic's message; like there, what a mode does not count is left out. Pure. */
export function statsJson(result: StatsResult): object {
  const orNothing = (value: number): number | undefined => (value === 0 ? undefined : value)
  return {
    total_size: result.totalSize,
    total_uncompressed_size: orNothing(result.totalUncompressedSize),
    compression_ratio: orNothing(result.compressionRatio),
    compression_progress: orNothing(result.compressionProgress),
    compression_space_saving: orNothing(result.compressionSpaceSaving),
    total_file_count: orNothing(result.totalFileCount),
    total_blob_count: orNothing(result.totalBlobCount),
    snapshots_count: result.snapshotsCount,
  }
}
