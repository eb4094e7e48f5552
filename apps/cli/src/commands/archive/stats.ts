import type { Command } from 'commander'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags } from './filter-flags.ts'
import { pending } from './pending.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { type ManySnapshotsOptions, parseManySnapshots, type SnapshotFlags } from './snapshot-flags.ts'

const modes = ['restore-size', 'files-by-contents', 'blobs-per-file', 'raw-data'] as const
export type StatsMode = (typeof modes)[number]

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
  run: pending,
}
