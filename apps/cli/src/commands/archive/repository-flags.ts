import { readFileSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import type { Environment, PasswordVariables } from '../../environment.ts'
import type { OutputOptions } from '../../terminal/progress.ts'
import { choice } from '../../values/choice.ts'
import { duration } from '../../values/duration.ts'
import { wholeNumber } from '../../values/whole-number.ts'
import { addOutputFlags, type OutputFlags, parseOutput } from './output-flags.ts'
import { type PasswordSource, parsePasswordSource } from './password.ts'
import { addS3Flags, parseS3, type S3Flags, type S3Settings } from './s3-flags.ts'

export const compressions = ['auto', 'fastest', 'better', 'max', 'off'] as const
export type Compression = (typeof compressions)[number]

/** A repository and how to reach it. The same for every verb that opens one. */
export interface RepositoryOptions {
  readonly location: string
  readonly password: PasswordSource
  readonly s3: S3Settings
  readonly lock: boolean
  readonly retryLockMs: number
  /** Undefined: no cache. */
  readonly cacheDirectory: string | undefined
  readonly uploadBytesPerSecond: number | undefined
  readonly downloadBytesPerSecond: number | undefined
  /** Bytes; undefined leaves it to the archive. */
  readonly packSize: number | undefined
  readonly compression: Compression
  readonly verifyWrites: boolean
}

/** What every verb that opens a repository has in its options. */
export interface CommonOptions {
  readonly repository: RepositoryOptions
  readonly output: OutputOptions
}

export interface RepositoryFlags extends OutputFlags, S3Flags {
  readonly repo?: string
  readonly repositoryFile?: string
  readonly passwordFile?: string
  readonly passwordCommand?: string
  readonly lock?: boolean
  readonly retryLock?: number
  readonly cache?: boolean
  readonly cacheDir?: string
  readonly limitUpload?: number
  readonly limitDownload?: number
  readonly packSize?: number
  readonly compression?: Compression
  readonly extraVerify?: boolean
}

const packSizeBounds = { least: 4, most: 128 }
const rateBounds = { least: 1, most: 1e9 }

/** The flags that all verbs share; also taken before the verb. */
export function addRepositoryFlags(command: Command): void {
  command
    .optionsGroup('Repository:')
    .option('-r, --repo <location>', 'a directory, or s3:https://host/bucket/prefix ($HOLDFAST_REPOSITORY)')
    .option('--repository-file <file>', 'read the location from a file ($HOLDFAST_REPOSITORY_FILE)')
    .option('-p, --password-file <file>', 'read the password from a file ($HOLDFAST_PASSWORD_FILE)')
    .option(
      '--password-command <command>',
      'run a command that prints the password ($HOLDFAST_PASSWORD_COMMAND)',
    )
    .option('--no-lock', 'do not lock the repository; for reading from one that cannot be written')
    .option(
      '--retry-lock <time>',
      'keep trying for this long while it is locked, e.g. 5m',
      duration('--retry-lock'),
    )
    .option('--no-cache', 'keep no local copies of indexes, snapshots and directories')
    .option('--cache-dir <directory>', 'where to keep them ($HOLDFAST_CACHE_DIR)')
    .option('--limit-upload <KiB/s>', 'send at most this much', wholeNumber('--limit-upload', rateBounds))
    .option(
      '--limit-download <KiB/s>',
      'receive at most this much',
      wholeNumber('--limit-download', rateBounds),
    )
    .option(
      '--pack-size <MiB>',
      'aim at pack files of this size (default 16)',
      wholeNumber('--pack-size', packSizeBounds),
    )
    .option(
      '--compression <mode>',
      `${compressions.join(', ')} (default auto)`,
      choice('--compression', compressions),
    )
    .option('--no-extra-verify', 'do not decrypt and compare each piece of data before it is stored')
  addS3Flags(command)
  addOutputFlags(command)
}

/** Flags and environment as one value. InvalidInput when no repository is named. */
export function parseCommon(flags: RepositoryFlags, environment: Environment): CommonOptions {
  return {
    repository: parseRepository(flags, environment),
    output: parseOutput(flags, environment),
  }
}

function parseRepository(flags: RepositoryFlags, environment: Environment): RepositoryOptions {
  const location = findLocation(
    { flag: flags.repo, fileFlag: flags.repositoryFile, stem: '--repo' },
    { value: environment.repository, file: environment.repositoryFile },
  )
  const password = { file: flags.passwordFile, command: flags.passwordCommand, stem: '--password' }
  return withTuning(flags, environment, {
    location,
    password: parsePasswordSource(password, environment.password),
  })
}

/** The rest of the repository options, which the source of `copy` shares with its target. */
export function withTuning(
  flags: RepositoryFlags,
  environment: Environment,
  found: { readonly location: string; readonly password: PasswordSource },
): RepositoryOptions {
  const { compression: word, packSize: size } = environment
  const packSize =
    flags.packSize ??
    (size === undefined ? undefined : wholeNumber('HOLDFAST_PACK_SIZE', packSizeBounds)(size))
  return {
    ...found,
    s3: parseS3(flags),
    lock: flags.lock !== false,
    retryLockMs: flags.retryLock ?? 0,
    cacheDirectory: flags.cache === false ? undefined : findCacheDirectory(flags, environment),
    uploadBytesPerSecond: kibibytes(flags.limitUpload),
    downloadBytesPerSecond: kibibytes(flags.limitDownload),
    packSize: packSize === undefined ? undefined : packSize * 2 ** 20,
    compression:
      flags.compression ?? (word === undefined ? 'auto' : choice('HOLDFAST_COMPRESSION', compressions)(word)),
    verifyWrites: flags.extraVerify !== false,
  }
}

/** Where a repository is: the flag, the file named by a flag, then the same from the environment. */
export function findLocation(
  flags: { readonly flag: string | undefined; readonly fileFlag: string | undefined; readonly stem: string },
  variables: { readonly value: string | undefined; readonly file: string | undefined },
): string {
  const { flag, fileFlag, stem } = flags
  if (flag !== undefined && fileFlag !== undefined) {
    throw new HoldfastError(
      'InvalidInput',
      `found ${stem} and a file that names the repository, expected one of the two`,
      {
        guidance: 'Leave one out.',
      },
    )
  }
  const fromFlags = flag ?? (fileFlag === undefined ? undefined : readLocationFile(fileFlag))
  const location =
    fromFlags ??
    variables.value ??
    (variables.file === undefined ? undefined : readLocationFile(variables.file))
  if (location !== undefined && location !== '') return location
  throw new HoldfastError('InvalidInput', `no repository was given: ${stem} is missing`, {
    guidance: `Give ${stem} with a directory or s3:https://host/bucket/prefix, or set HOLDFAST_${stem === '--repo' ? '' : 'FROM_'}REPOSITORY.`,
  })
}

function readLocationFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new HoldfastError(
      'InvalidInput',
      `the file that names the repository cannot be read: ${(cause as Error).message}`,
      {
        place: path,
        cause,
      },
    )
  }
}

function findCacheDirectory(flags: RepositoryFlags, environment: Environment): string | undefined {
  const underHome = environment.home === undefined ? undefined : `${environment.home}/.cache/holdfast`
  return flags.cacheDir ?? environment.cacheDirectory ?? underHome
}

function kibibytes(rate: number | undefined): number | undefined {
  return rate === undefined ? undefined : rate * 1024
}

/** The environment's variables for the password of the source of `copy` and `init`, and its flags, as one source. */
export function parseFromPassword(
  flags: { readonly fromPasswordFile?: string; readonly fromPasswordCommand?: string },
  variables: PasswordVariables,
): PasswordSource {
  return parsePasswordSource(
    { file: flags.fromPasswordFile, command: flags.fromPasswordCommand, stem: '--from-password' },
    variables,
  )
}
