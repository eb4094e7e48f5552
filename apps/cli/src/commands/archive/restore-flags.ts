import type { SnapshotFilter } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { choice } from '../../values/choice.ts'
import { repeatedText } from '../../values/repeated.ts'
import type { Given } from '../verb.ts'
import { addFilterFlags, type FilterFlags, parseFilter } from './filter-flags.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

export const overwritePolicies = ['always', 'if-changed', 'if-newer', 'never'] as const
export type OverwritePolicy = (typeof overwritePolicies)[number]

export interface RestoreOptions extends CommonOptions {
  /** Id, prefix or `latest`, with `:subfolder` where only a part is meant. */
  readonly snapshot: string
  readonly target: string
  readonly filter: SnapshotFilter
  readonly include: PatternOptions
  readonly exclude: PatternOptions
  readonly includeXattrs: readonly string[]
  readonly excludeXattrs: readonly string[]
  readonly overwrite: OverwritePolicy
  readonly delete: boolean
  readonly dryRun: boolean
  readonly sparse: boolean
  readonly verify: boolean
  readonly ownershipByName: boolean
}

export interface PatternOptions {
  readonly patterns: readonly string[]
  readonly caseless: readonly string[]
  readonly patternFiles: readonly string[]
  readonly caselessFiles: readonly string[]
}

export interface RestoreFlags extends RepositoryFlags, FilterFlags {
  readonly target?: string
  readonly include?: readonly string[]
  readonly iinclude?: readonly string[]
  readonly includeFile?: readonly string[]
  readonly iincludeFile?: readonly string[]
  readonly exclude?: readonly string[]
  readonly iexclude?: readonly string[]
  readonly excludeFile?: readonly string[]
  readonly iexcludeFile?: readonly string[]
  readonly includeXattr?: readonly string[]
  readonly excludeXattr?: readonly string[]
  readonly overwrite?: OverwritePolicy
  readonly delete?: boolean
  readonly dryRun?: boolean
  readonly sparse?: boolean
  readonly verify?: boolean
  readonly ownershipByName?: boolean
}

export function addRestoreFlags(command: Command): void {
  command
    .option('-t, --target <directory>', 'where to put the files; / puts them back in place')
    .option('-n, --dry-run', 'write nothing, say what would be done')
    .option(
      '--overwrite <when>',
      `${overwritePolicies.join(', ')} (default always)`,
      choice('--overwrite', overwritePolicies),
    )
    .option(
      '--delete',
      'delete files in the target that are not in the snapshot (look with --dry-run -vv first)',
    )
    .option('--sparse', 'leave holes where a file has zeros')
    .option('--verify', 'read the restored files back and compare')
    .option('--ownership-by-name', 'restore owner and group by their names')
    .optionsGroup('What is restored:')
    .option('-i, --include <pattern>', 'only what matches (repeatable)', repeatedText)
    .option('--iinclude <pattern>', 'the same without regard to case', repeatedText)
    .option('--include-file <file>', 'read such patterns from a file (repeatable)', repeatedText)
    .option('--iinclude-file <file>', 'the same without regard to case', repeatedText)
    .option('-e, --exclude <pattern>', 'leave out what matches (repeatable)', repeatedText)
    .option('--iexclude <pattern>', 'the same without regard to case', repeatedText)
    .option('--exclude-file <file>', 'read such patterns from a file (repeatable)', repeatedText)
    .option('--iexclude-file <file>', 'the same without regard to case', repeatedText)
    .option(
      '--include-xattr <pattern>',
      'only extended attributes whose name matches (repeatable)',
      repeatedText,
    )
    .option(
      '--exclude-xattr <pattern>',
      'no extended attributes whose name matches (repeatable)',
      repeatedText,
    )
  addFilterFlags(command)
  addRepositoryFlags(command)
}

/** Flags, operands and environment as one value. Pure but for the files that name a repository. */
export function parseRestore({ operands, flags, environment }: Given<RestoreFlags>): RestoreOptions {
  const { target } = flags
  if (target === undefined || target === '') {
    throw new HoldfastError('InvalidInput', 'no directory to restore to was given: --target is missing', {
      guidance: 'Give --target with a directory; --target / puts the files back where they came from.',
    })
  }
  const include = parsePatterns(flags.include, flags.iinclude, flags.includeFile, flags.iincludeFile)
  const exclude = parsePatterns(flags.exclude, flags.iexclude, flags.excludeFile, flags.iexcludeFile)
  refuseBoth('--include', hasPatterns(include), '--exclude', hasPatterns(exclude))
  refuseBoth(
    '--include-xattr',
    flags.includeXattr !== undefined,
    '--exclude-xattr',
    flags.excludeXattr !== undefined,
  )
  refuseBoth('--verify', flags.verify === true, '--dry-run', flags.dryRun === true)
  refuseDangerousDelete(target, flags.delete === true, hasPatterns(include) || hasPatterns(exclude))
  return {
    ...parseCommon(flags, environment),
    snapshot: operands[0] ?? 'latest',
    target,
    filter: parseFilter(flags, environment),
    include,
    exclude,
    includeXattrs: flags.includeXattr ?? [],
    excludeXattrs: flags.excludeXattr ?? [],
    overwrite: flags.overwrite ?? 'always',
    delete: flags.delete === true,
    dryRun: flags.dryRun === true,
    sparse: flags.sparse === true,
    verify: flags.verify === true,
    ownershipByName: flags.ownershipByName === true,
  }
}

/** Deleting everything on the machine that is not in a snapshot is never what was meant. */
function refuseDangerousDelete(target: string, deletes: boolean, filtered: boolean): void {
  if (!deletes || filtered || !/^\/+$/.test(target)) return
  throw new HoldfastError(
    'InvalidInput',
    '--delete: found --target / with no --include or --exclude, which would delete what the snapshot does not have from the whole machine',
    {
      guidance: 'Narrow it with --include, or restore to another directory.',
    },
  )
}

function parsePatterns(...lists: readonly (readonly string[] | undefined)[]): PatternOptions {
  const [patterns = [], caseless = [], patternFiles = [], caselessFiles = []] = lists
  return { patterns, caseless, patternFiles, caselessFiles }
}

export function hasPatterns(options: PatternOptions): boolean {
  return Object.values(options).some((list: readonly string[]) => list.length > 0)
}

function refuseBoth(first: string, hasFirst: boolean, second: string, hasSecond: boolean): void {
  if (!hasFirst || !hasSecond) return
  throw new HoldfastError('InvalidInput', `found ${first} and ${second}, expected at most one of the two`, {
    guidance: 'Leave one out.',
  })
}
