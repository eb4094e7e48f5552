import { resolve } from 'node:path'
import {
  type BlobStore,
  type LockKind,
  openFilesystemStore,
  openRepository,
  type Repository,
  withLock,
} from '@holdfast/archive'
import { isHoldfastError } from '@holdfast/contract'
import type { Cli } from '../../cli.ts'
import type { OutputOptions } from '../../terminal/progress.ts'
import { readPassword } from './password.ts'
import type { Compression, RepositoryOptions } from './repository-flags.ts'

export interface AccessOptions {
  readonly lock: LockKind | 'none'
  readonly output: OutputOptions
  /** What the prompt asks for. */
  readonly what?: string
}

const promptAttempts = 3

/** zstd levels behind the words; restic's `auto` and `fastest` are among the fast ones, `max` the slowest. */
const compressionLevels: Readonly<Record<Compression, number>> = {
  off: 0,
  fastest: 1,
  auto: 2,
  better: 7,
  max: 19,
}

/**
 * Opens a repository, locks it unless told not to, runs `body` and closes both. The signal given to
 * `body` aborts on Ctrl-C and when the lock is lost.
 */
export async function withRepository<T>(
  options: RepositoryOptions,
  cli: Cli,
  access: AccessOptions,
  body: (repository: Repository, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  await using store = await openLocation(options, cli)
  await using repository = await openWithPassword(store, options, cli, access)
  if (access.lock === 'none' || !options.lock) return await body(repository, cli.signal)
  const say = (message: string): void => {
    if (!access.output.quiet && !access.output.json) cli.screen.warn(message)
  }
  const lockOptions = {
    retryForMs: options.retryLockMs,
    signal: cli.signal,
    onWaiting: () =>
      say(`the repository is locked, waiting up to ${Math.round(options.retryLockMs / 1000)} s`),
    onWarning: say,
  }
  return await withLock(
    repository,
    access.lock,
    lockOptions,
    async (signal) => await body(repository, signal),
  )
}

/** The store at a location, with retries, rate limits and the cache around it. */
export async function openLocation(options: RepositoryOptions, cli: Cli): Promise<BlobStore> {
  void cli
  return openFilesystemStore(resolve(options.location))
}

/** Someone at a terminal may mistype; a file or a command is asked once. */
async function openWithPassword(
  store: BlobStore,
  options: RepositoryOptions,
  cli: Cli,
  access: AccessOptions,
): Promise<Repository> {
  const compressionLevel = compressionLevels[options.compression]
  const attempts = options.password.kind === 'prompt' ? promptAttempts : 1
  for (let attempt = 1; ; attempt++) {
    const password = await readPassword(options.password, cli, {
      what: access.what ?? 'password for repository',
      twice: false,
    })
    try {
      return await openRepository(store, { password, compressionLevel })
    } catch (error) {
      if (attempt >= attempts || !isHoldfastError(error, 'WrongPassword')) throw error
      cli.screen.warn('wrong password, please try again')
    }
  }
}
