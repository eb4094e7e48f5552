import type { PruneOptions, UnusedLimit } from '@holdfast/archive'
import type { Command } from 'commander'
import { definedOnly } from '../../values/defined-only.ts'
import { invalidFlag } from '../../values/invalid-flag.ts'
import { parseSize, size } from '../../values/size.ts'

export interface PruneFlags {
  readonly maxUnused?: UnusedLimit
  readonly maxRepackSize?: number
  readonly repackCacheableOnly?: boolean
  readonly repackUncompressed?: boolean
  readonly repackSmall?: boolean
  readonly repackSmallerThan?: number
}

export type PruneChoices = Pick<
  PruneOptions,
  | 'maxUnused'
  | 'maxRepackBytes'
  | 'repackCacheableOnly'
  | 'repackUncompressed'
  | 'repackSmall'
  | 'repackSmallerThan'
>

/** The flags of `prune`, which `forget --prune` takes too. */
export function addPruneFlags(command: Command): void {
  command
    .optionsGroup('Pruning:')
    .option(
      '--max-unused <limit>',
      "unused data that may stay: a size, 5% or 'unlimited' (default 5%)",
      parseUnusedLimit,
    )
    .option('--max-repack-size <size>', 'repack at most this much', size('--max-repack-size'))
    .option('--repack-cacheable-only', 'repack only packs of directories, not of file contents')
    .option('--repack-uncompressed', 'repack whatever is stored uncompressed')
    .option('--repack-small', 'repack packs below 80% of the pack size')
    .option('--repack-smaller-than <size>', 'repack packs smaller than this', size('--repack-smaller-than'))
}

/** Only what was asked for; the defaults are the archive's. Pure. */
export function parsePrune(flags: PruneFlags): PruneChoices {
  return definedOnly({
    maxUnused: flags.maxUnused,
    maxRepackBytes: flags.maxRepackSize,
    repackCacheableOnly: flags.repackCacheableOnly,
    repackUncompressed: flags.repackUncompressed,
    repackSmall: flags.repackSmall,
    repackSmallerThan: flags.repackSmallerThan,
  })
}

function parseUnusedLimit(given: string): UnusedLimit {
  if (given === 'unlimited') return 'unlimited'
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(given)?.[1]
  if (percent !== undefined && Number(percent) <= 100) return { percent: Number(percent) }
  const bytes = parseSize(given)
  if (bytes !== undefined) return { bytes }
  throw invalidFlag('--max-unused', given, "a size such as 200M, a share such as 5%, or 'unlimited'")
}
