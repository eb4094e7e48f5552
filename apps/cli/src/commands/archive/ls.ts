import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags } from './filter-flags.ts'
import { pending } from './pending.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { type OneSnapshotOptions, parseOneSnapshot, type SnapshotFlags } from './snapshot-flags.ts'

const sortKeys = ['name', 'size', 'time', 'mtime', 'atime', 'ctime', 'extension'] as const
export type LsSort = 'name' | 'size' | 'mtime' | 'atime' | 'ctime' | 'extension'

export interface LsOptions extends OneSnapshotOptions {
  readonly directories: readonly string[]
  readonly long: boolean
  readonly humanReadable: boolean
  readonly recursive: boolean
  readonly sort: LsSort
  readonly reverse: boolean
  readonly ncdu: boolean
}

interface LsFlags extends SnapshotFlags {
  readonly long?: boolean
  readonly humanReadable?: boolean
  readonly recursive?: boolean
  readonly sort?: (typeof sortKeys)[number]
  readonly reverse?: boolean
  readonly ncdu?: boolean
}

export const lsVerb: Verb<LsFlags, LsOptions> = {
  path: ['ls'],
  summary: 'list the files of a snapshot',
  description:
    "Lists the files and directories of a snapshot; 'latest' is the newest that --host, --tag and --path admit.\nWith directories after it (absolute paths within the snapshot) only what is in them is listed; --recursive\nalso goes into theirs.",
  operands: ['<snapshot[:subfolder]>', '[directory...]'],
  exit: { opens: true },
  examples: ['holdfast archive ls -l latest /etc', 'holdfast archive ls --json latest | jq -r .path'],
  addFlags: (command: Command) => {
    command
      .option('-l, --long', 'also print mode, owner, size and time')
      .option('--human-readable', 'print sizes in KiB, MiB, ...')
      .option('--recursive', 'go into the directories of those listed')
      .option('-s, --sort <key>', `by ${sortKeys.join(', ')} (default name)`, choice('--sort', sortKeys))
      .option('--reverse', 'the other way round')
      .option('--ncdu', 'print what ncdu -f reads')
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => {
    const { flags } = given
    const directories = given.operands.slice(1)
    const relative = directories.find((directory) => !directory.startsWith('/'))
    if (relative !== undefined) {
      throw new HoldfastError(
        'InvalidInput',
        `found directory '${relative}', expected an absolute path within the snapshot`,
        {
          guidance: `Did you mean /${relative.replace(/^\.\//, '')}?`,
        },
      )
    }
    if (flags.ncdu === true && flags.json === true) {
      throw new HoldfastError('InvalidInput', 'found --ncdu and --json, expected at most one of the two', {
        guidance: 'Leave one out.',
      })
    }
    return {
      ...parseOneSnapshot(given),
      directories,
      long: flags.long === true,
      humanReadable: flags.humanReadable === true,
      recursive: flags.recursive === true,
      sort:
        flags.sort === 'time' || flags.sort === undefined
          ? flags.sort === 'time'
            ? 'mtime'
            : 'name'
          : flags.sort,
      reverse: flags.reverse === true,
      ncdu: flags.ncdu === true,
    }
  },
  run: pending,
}
