import {
  type BlobStore,
  type LockKind,
  openRepository,
  openStore,
  type Repository,
  type RetryOptions,
  type S3StoreOptions,
  withLock,
} from '@holdfast/archive'
import { isHoldfastError } from '@holdfast/contract'
import type { Cli } from '../../cli.ts'
import type { OutputOptions } from '../../terminal/progress.ts'
import { definedOnly } from '../../values/defined-only.ts'
import { readPassword } from './password.ts'
import type { Compression, RepositoryOptions } from './repository-flags.ts'
import type { S3Settings } from './s3-flags.ts'

export interface AccessOptions {
  readonly lock: LockKind | 'none'
  readonly output: OutputOptions
  /** The body will load the index; reading begins while the lock is waited for. */
  readonly readsIndex?: boolean
  /** What the prompt asks for. */
  readonly what?: string
}

const promptAttempts = 3

/** zstd levels behind the words; chosen to weigh time against size as restic's own do. */
const compressionLevels: Readonly<Record<Compression, number>> = {
  off: 0,
  fastest: 1,
  auto: 2,
  better: 7,
  max: 11,
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
  await using store = await openLocation(options, cli, access.output)
  await using repository = await openWithPassword(store, options, cli, access)
  if (access.lock === 'none' || !options.lock) return await body(repository, cli.signal)
  // under the lock the index is listed again, so what is read now is used only if it is still the same
  if (access.readsIndex === true) repository.loadIndex().catch(() => undefined)
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
export async function openLocation(
  options: RepositoryOptions,
  cli: Cli,
  output: OutputOptions,
): Promise<BlobStore> {
  const { s3, uploadBytesPerSecond, downloadBytesPerSecond, cacheDirectory } = options
  const limited = uploadBytesPerSecond !== undefined || downloadBytesPerSecond !== undefined
  return await openStore(options.location, {
    s3: s3Options(s3),
    ...(limited ? { rateLimit: definedOnly({ uploadBytesPerSecond, downloadBytesPerSecond }) } : {}),
    ...definedOnly({ cacheDirectory }),
    // A directory needs no retries, and its store without wrappers is the fast one.
    ...(options.location.startsWith('s3:') ? { retry: retryOptions(cli, output) } : {}),
  })
}

function retryOptions(cli: Cli, output: OutputOptions): RetryOptions {
  return {
    signal: cli.signal,
    onRetry: ({ operation, place, attempt, waitMs, error }) => {
      if (output.quiet || output.json) return
      const wait = `${(waitMs / 1000).toFixed(1)} s`
      cli.screen.warn(
        `${operation} ${place} failed (attempt ${attempt}), trying again in ${wait}: ${error.message}`,
      )
    },
  }
}

function s3Options(s3: S3Settings): Omit<S3StoreOptions, 'location'> {
  const { objectLock: retention, legalHold, pathStyle } = s3
  const tls = definedOnly({
    caFile: s3.caFile,
    clientCertificateFile: s3.clientCertFile,
    clientKeyFile: s3.clientKeyFile,
  })
  const locks = retention !== undefined || legalHold
  return {
    ...definedOnly({ region: s3.region, storageClass: s3.storageClass, connections: s3.connections }),
    ...(pathStyle === undefined ? {} : { bucketLookup: pathStyle ? 'path' : 'dns' }),
    ...(Object.keys(tls).length > 0 ? { tls } : {}),
    ...(locks ? { objectLock: { ...definedOnly({ retention }), legalHold } } : {}),
  }
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
