import type { Command } from 'commander'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags } from './filter-flags.ts'
import { pending } from './pending.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { type OneSnapshotOptions, parseOneSnapshot, type SnapshotFlags } from './snapshot-flags.ts'

export interface DumpOptions extends OneSnapshotOptions {
  readonly file: string
  readonly archive: 'tar' | 'zip'
  /** Standard output when undefined. */
  readonly target: string | undefined
}

interface DumpFlags extends SnapshotFlags {
  readonly archive?: 'tar' | 'zip'
  readonly target?: string
}

export const dumpVerb: Verb<DumpFlags, DumpOptions> = {
  path: ['dump'],
  summary: 'write a file, or a directory as tar, to standard output',
  description:
    'Writes the contents of a file in a snapshot to standard output, or to --target. A directory becomes a tar\narchive; / is the whole snapshot.',
  operands: ['<snapshot[:subfolder]>', '<file>'],
  exit: { opens: true },
  examples: [
    'holdfast archive dump latest /etc/hosts',
    'holdfast archive dump latest:/srv/shop / | tar -x -C /tmp/shop',
  ],
  addFlags: (command: Command) => {
    command
      .option(
        '-a, --archive <format>',
        'how to write a directory: tar or zip (default tar)',
        choice('--archive', ['tar', 'zip']),
      )
      .option('-t, --target <file>', 'write to this file instead')
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => ({
    ...parseOneSnapshot(given),
    file: given.operands[1] ?? '/',
    archive: given.flags.archive ?? 'tar',
    target: given.flags.target,
  }),
  run: pending,
}
