import type { SnapshotFilter } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { parseWhen } from '../../values/parse-when.ts'
import { repeatedText } from '../../values/repeated.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags, parseFilter } from './filter-flags.ts'
import { pending } from './pending.ts'
import { addRepositoryFlags, type CommonOptions, parseCommon } from './repository-flags.ts'
import type { SnapshotFlags } from './snapshot-flags.ts'

export interface FindOptions extends CommonOptions {
  readonly kind: 'name' | 'blob' | 'tree' | 'pack'
  readonly patterns: readonly string[]
  readonly snapshots: readonly string[]
  readonly filter: SnapshotFilter
  readonly ignoreCase: boolean
  /** Modification times, milliseconds since the epoch. */
  readonly oldest: number | undefined
  readonly newest: number | undefined
  readonly long: boolean
  readonly humanReadable: boolean
  readonly reverse: boolean
  readonly showPack: boolean
}

interface FindFlags extends SnapshotFlags {
  readonly blob?: boolean
  readonly tree?: boolean
  readonly pack?: boolean
  readonly ignoreCase?: boolean
  readonly oldest?: number
  readonly newest?: number
  readonly long?: boolean
  readonly humanReadable?: boolean
  readonly reverse?: boolean
  readonly showPackId?: boolean
  readonly snapshot?: readonly string[]
}

export const findVerb: Verb<FindFlags, FindOptions> = {
  path: ['find'],
  summary: 'find files by name, or blobs by id, in snapshots',
  description:
    'Looks through snapshots for files whose names match a pattern, newest snapshot first. A pattern with a\nslash is compared with the path. With --blob, --tree or --pack the patterns are ids.',
  operands: ['<pattern...>'],
  exit: { opens: true },
  examples: ["holdfast archive find '*.yml'", 'holdfast archive find --blob 420f620f --show-pack-id'],
  addFlags: (command: Command) => {
    command
      .option('--blob', 'the patterns are ids of data blobs')
      .option('--tree', 'the patterns are ids of trees')
      .option('--pack', 'the patterns are ids of packs')
      .option('--show-pack-id', 'also print the packs of blobs and trees found')
      .option('-i, --ignore-case', 'upper and lower case are the same')
      .option('-O, --oldest <time>', 'only files modified at or after', parseWhen('--oldest'))
      .option('-N, --newest <time>', 'only files modified at or before', parseWhen('--newest'))
      .option('-l, --long', 'also print mode, owner, size and time')
      .option('--human-readable', 'print sizes in KiB, MiB, ...')
      .option('-R, --reverse', 'oldest snapshot first')
      .option('-s, --snapshot <snapshot>', 'look in this snapshot (repeatable)', repeatedText)
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ operands, flags, environment }) => {
    const kinds = (['blob', 'tree', 'pack'] as const).filter((kind) => flags[kind] === true)
    if (kinds.length > 1) {
      throw new HoldfastError(
        'InvalidInput',
        `found ${kinds.map((kind) => `--${kind}`).join(' and ')}, expected at most one of them`,
        {
          guidance: 'Look for one kind at a time.',
        },
      )
    }
    return {
      ...parseCommon(flags, environment),
      kind: kinds[0] ?? 'name',
      patterns: operands,
      snapshots: flags.snapshot ?? [],
      filter: parseFilter(flags, environment),
      ignoreCase: flags.ignoreCase === true,
      oldest: flags.oldest,
      newest: flags.newest,
      long: flags.long === true,
      humanReadable: flags.humanReadable === true,
      reverse: flags.reverse === true,
      showPack: flags.showPackId === true,
    }
  },
  run: pending,
}
