import type { Command } from 'commander'
import type { Verb } from '../verb.ts'
import { pending } from './pending.ts'

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
  run: pending,
}
