import type { GroupBy } from '@holdfast/archive'
import { parseGroupBy } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { invalidFlag } from '../../values/invalid-flag.ts'
import { parseWhen } from '../../values/parse-when.ts'
import { repeated, repeatedText } from '../../values/repeated.ts'
import { size } from '../../values/size.ts'
import { tagList } from '../../values/tag-list.ts'
import { wholeNumber } from '../../values/whole-number.ts'
import type { Given } from '../verb.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

export interface BackupOptions extends CommonOptions {
  readonly source: BackupSource
  readonly tags: readonly string[]
  readonly host: string | undefined
  /** Milliseconds since the epoch. */
  readonly time: number | undefined
  readonly parent: string | undefined
  readonly groupBy: GroupBy
  readonly force: boolean
  readonly dryRun: boolean
  readonly excludes: ExcludeOptions
  readonly oneFileSystem: boolean
  readonly withAtime: boolean
  readonly ignoreCtime: boolean
  readonly ignoreInode: boolean
  /** Bytes of a chunk when files are cut by length; 0 to cut them by content. */
  readonly fixedChunkBytes: number
  readonly scan: boolean
  readonly skipIfUnchanged: boolean
  readonly readConcurrency: number | undefined
  readonly readBlockDevices: boolean
}

export type BackupSource =
  | {
      readonly kind: 'paths'
      readonly paths: readonly string[]
      readonly filesFrom: readonly string[]
      readonly filesFromVerbatim: readonly string[]
      readonly filesFromRaw: readonly string[]
    }
  | { readonly kind: 'stdin'; readonly filename: string }
  | { readonly kind: 'command'; readonly command: readonly string[]; readonly filename: string }

export interface ExcludeOptions {
  readonly patterns: readonly string[]
  readonly caseless: readonly string[]
  readonly patternFiles: readonly string[]
  readonly caselessFiles: readonly string[]
  /** `filename` or `filename:header`. */
  readonly ifPresent: readonly string[]
  readonly caches: boolean
  /** Bytes. */
  readonly largerThan: number | undefined
}

export interface BackupFlags extends RepositoryFlags {
  readonly dryRun?: boolean
  readonly exclude?: readonly string[]
  readonly iexclude?: readonly string[]
  readonly excludeFile?: readonly string[]
  readonly iexcludeFile?: readonly string[]
  readonly excludeIfPresent?: readonly string[]
  readonly excludeCaches?: boolean
  readonly excludeLargerThan?: number
  readonly filesFrom?: readonly string[]
  readonly filesFromVerbatim?: readonly string[]
  readonly filesFromRaw?: readonly string[]
  readonly force?: boolean
  readonly groupBy?: string
  readonly host?: string
  readonly ignoreCtime?: boolean
  readonly ignoreInode?: boolean
  readonly fixedChunks?: number
  readonly scan?: boolean
  readonly oneFileSystem?: boolean
  readonly parent?: string
  readonly readConcurrency?: number
  readonly readSpecial?: boolean
  readonly skipIfUnchanged?: boolean
  readonly stdin?: boolean
  readonly stdinFilename?: string
  readonly stdinFromCommand?: boolean
  readonly tag?: readonly (readonly string[])[]
  readonly time?: number
  readonly withAtime?: boolean
}

const concurrencyBounds = { least: 1, most: 256 }

export function addBackupFlags(command: Command): void {
  command
    .option('-n, --dry-run', 'write nothing, say what would be done')
    .option('-f, --force', 'read every file, whatever the parent snapshot says')
    .option('--parent <snapshot>', 'compare with this snapshot (default: the newest of the same group)')
    .option(
      '-g, --group-by <what,...>',
      "how the parent is looked for: host, paths, tags (default host,paths; '' for any)",
    )
    .option('--skip-if-unchanged', 'make no snapshot when nothing changed since the parent')
    .option('-H, --host <name>', 'record this host name ($HOLDFAST_HOST)')
    .option('--tag <tag,...>', 'tags of the new snapshot (repeatable)', repeated(tagList))
    .option(
      '--time <time>',
      "record this time, e.g. '2026-11-21 05:30:00' (default: now)",
      parseWhen('--time'),
    )
    .optionsGroup('What is read:')
    .option('-e, --exclude <pattern>', 'leave out what matches (repeatable)', repeatedText)
    .option('--iexclude <pattern>', 'the same without regard to case', repeatedText)
    .option('--exclude-file <file>', 'read such patterns from a file (repeatable)', repeatedText)
    .option('--iexclude-file <file>', 'the same without regard to case', repeatedText)
    .option(
      '--exclude-if-present <name[:header]>',
      'leave out what is beside such a file (repeatable)',
      repeatedText,
    )
    .option('--exclude-caches', 'leave out what is beside a CACHEDIR.TAG')
    .option('--exclude-larger-than <size>', 'leave out larger files, e.g. 2G', size('--exclude-larger-than'))
    .option('--files-from <file>', 'read what to back up from a file, as patterns (repeatable)', repeatedText)
    .option('--files-from-verbatim <file>', 'the same, each line exactly one name', repeatedText)
    .option('--files-from-raw <file>', 'the same, names ended by NUL', repeatedText)
    .option('-x, --one-file-system', 'stay on the file systems of what is given')
    .option('--read-special', 'read block devices given by name as data')
    .option('--with-atime', 'record access times')
    .option('--ignore-ctime', 'a changed ctime alone is no change')
    .option('--ignore-inode', 'a changed inode or ctime alone is no change')
    .option(
      '--fixed-chunks <size>',
      'cut files by length instead of by content: 128K suits databases and images changed in place',
      chunkSize,
    )
    .option('--no-scan', 'do not add up the sizes beforehand: no percentage, fewer reads')
    .option(
      '--read-concurrency <n>',
      'read so many files at once ($HOLDFAST_READ_CONCURRENCY)',
      wholeNumber('--read-concurrency', concurrencyBounds),
    )
    .option('--stdin', 'back up what standard input gives')
    .option('--stdin-filename <name>', "its name in the snapshot (default 'stdin')")
    .option('--stdin-from-command', 'run the arguments as a command and back up what it prints')
  addRepositoryFlags(command)
}

/** What fits a worker's memory, and does not drown the index. */
const chunkBounds = { least: 64 * 1024, most: 8 * 1024 * 1024 }

function chunkSize(given: string): number {
  const bytes = size('--fixed-chunks')(given)
  if (bytes >= chunkBounds.least && bytes <= chunkBounds.most) return bytes
  throw invalidFlag('--fixed-chunks', given, 'a size from 64K to 8M')
}

/** Flags, operands and environment as one value. Pure but for the files that name a repository. */
export function parseBackup({ operands, flags, environment }: Given<BackupFlags>): BackupOptions {
  const readConcurrency =
    flags.readConcurrency ??
    (environment.readConcurrency === undefined
      ? undefined
      : wholeNumber('HOLDFAST_READ_CONCURRENCY', concurrencyBounds)(environment.readConcurrency))
  refuseLocklessWriting('backup', flags)
  return {
    ...parseCommon(flags, environment),
    source: parseSource(operands, flags),
    tags: (flags.tag ?? []).flat().filter((tag) => tag !== ''),
    host: flags.host ?? environment.host,
    time: flags.time,
    parent: flags.parent,
    groupBy: parseGroupBy(flags.groupBy ?? 'host,paths'),
    force: flags.force === true,
    dryRun: flags.dryRun === true,
    excludes: parseExcludes(flags),
    oneFileSystem: flags.oneFileSystem === true,
    withAtime: flags.withAtime === true,
    ignoreCtime: flags.ignoreCtime === true,
    ignoreInode: flags.ignoreInode === true,
    fixedChunkBytes: flags.fixedChunks ?? 0,
    scan: flags.scan !== false,
    skipIfUnchanged: flags.skipIfUnchanged === true,
    readConcurrency,
    readBlockDevices: flags.readSpecial === true,
  }
}

/** Verbs that write always lock; without a lock they can only be rehearsed. */
export function refuseLocklessWriting(
  verb: string,
  flags: { readonly lock?: boolean; readonly dryRun?: boolean },
): void {
  if (flags.lock !== false || flags.dryRun === true) return
  throw new HoldfastError(
    'InvalidInput',
    `--no-lock: found with ${verb}, which writes, expected only with reading or --dry-run`,
    {
      guidance: 'Leave --no-lock out.',
    },
  )
}

function parseExcludes(flags: BackupFlags): ExcludeOptions {
  return {
    patterns: flags.exclude ?? [],
    caseless: flags.iexclude ?? [],
    patternFiles: flags.excludeFile ?? [],
    caselessFiles: flags.iexcludeFile ?? [],
    ifPresent: flags.excludeIfPresent ?? [],
    caches: flags.excludeCaches === true,
    largerThan: flags.excludeLargerThan,
  }
}

function parseSource(operands: readonly string[], flags: BackupFlags): BackupSource {
  const lists = {
    filesFrom: flags.filesFrom ?? [],
    filesFromVerbatim: flags.filesFromVerbatim ?? [],
    filesFromRaw: flags.filesFromRaw ?? [],
  }
  const listed = Object.values(lists).flat().length > 0
  const filename = flags.stdinFilename ?? 'stdin'
  if (flags.stdin === true || flags.stdinFromCommand === true) {
    refuseBesideStdin(operands, flags, listed)
    return flags.stdinFromCommand === true
      ? { kind: 'command', command: operands, filename }
      : { kind: 'stdin', filename }
  }
  if (operands.length === 0 && !listed) {
    throw new HoldfastError('InvalidInput', 'nothing to back up: no file or directory was given', {
      guidance: 'Name what to back up, or give --files-from, --stdin or --stdin-from-command.',
    })
  }
  return { kind: 'paths', paths: operands, ...lists }
}

function refuseBesideStdin(operands: readonly string[], flags: BackupFlags, listed: boolean): void {
  const flag = flags.stdinFromCommand === true ? '--stdin-from-command' : '--stdin'
  if (flags.stdin === true && flags.stdinFromCommand === true) {
    throw new HoldfastError(
      'InvalidInput',
      'found --stdin and --stdin-from-command, expected one of the two',
      { guidance: 'Leave one out.' },
    )
  }
  if (listed) {
    throw new HoldfastError('InvalidInput', `found ${flag} and --files-from, expected one of the two`, {
      guidance: 'Leave one out.',
    })
  }
  if (flags.stdin === true && operands.length > 0) {
    throw new HoldfastError(
      'InvalidInput',
      `--stdin: found '${operands.join(' ')}' beside it, expected nothing else to back up`,
      {
        guidance: 'Back up files and standard input with two commands.',
      },
    )
  }
  if (flags.stdinFromCommand === true && operands.length === 0) {
    throw new HoldfastError(
      'InvalidInput',
      '--stdin-from-command: found no command, expected one as the arguments',
      {
        guidance: 'Put the command after --, for example: backup --stdin-from-command -- pg_dump shop',
      },
    )
  }
}
