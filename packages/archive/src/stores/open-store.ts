import { join, resolve } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import { sha256Hex } from '../format/ids.ts'
import type { BlobStore } from './blob-store.ts'
import { openFilesystemStore } from './filesystem.ts'
import { openS3Store } from './s3.ts'
import type { S3StoreOptions } from './s3-options.ts'
import { withAppendOnly } from './wrap/append-only.ts'
import { withCache } from './wrap/cache.ts'
import { type RateLimitOptions, withRateLimit } from './wrap/rate-limit.ts'
import { type ReadOnlyOptions, withReadOnly } from './wrap/read-only.ts'
import { type RetryOptions, withRetry } from './wrap/retry.ts'

/** How to open a store. Everything is optional. */
export interface OpenStoreOptions {
  /** For S3 locations. */
  readonly s3?: Omit<S3StoreOptions, 'location'>
  /** For S3 locations, which are always retried. */
  readonly retry?: RetryOptions
  readonly rateLimit?: RateLimitOptions
  /**
   * A directory for copies of metadata, shared by all repositories: each gets a part of its own, named
   * by its location. Only for locations that are not local.
   */
  readonly cacheDirectory?: string
  readonly readOnly?: boolean | ReadOnlyOptions
  readonly appendOnly?: boolean
}

/**
 * Opens the store at a location: a path, `local:<path>`, or one of restic's `s3:` spellings. Makes no
 * request and creates nothing. A local store with no wrapper asked for is the bare one, whose
 * `localDirectory` is set. Throws `InvalidInput` for a location nobody can open.
 *
 * From the inside out: the store, rate limit, retry, cache, append-only, read-only. So a retried upload
 * is paced too, and a cached file costs neither.
 */
export async function openStore(location: string, options: OpenStoreOptions = {}): Promise<BlobStore> {
  const isS3 = location.startsWith('s3:')
  let store: BlobStore = isS3
    ? await openS3Store({ ...options.s3, location })
    : openFilesystemStore(localPath(location))
  if (options.rateLimit !== undefined) store = withRateLimit(store, options.rateLimit)
  if (isS3 || options.retry !== undefined) store = withRetry(store, options.retry)
  if (isS3 && options.cacheDirectory !== undefined) {
    store = withCache(store, { directory: join(options.cacheDirectory, cacheName(store.location)) })
  }
  if (options.appendOnly === true) store = withAppendOnly(store)
  if (options.readOnly !== undefined && options.readOnly !== false) {
    store = withReadOnly(store, options.readOnly === true ? {} : options.readOnly)
  }
  return store
}

/** restic's other stores, so that nobody makes a directory called `sftp:host:` by mistake. */
const elsewhere = /^(sftp|rest|b2|azure|gs|swift|rclone|http|https):/

function localPath(location: string): string {
  const scheme = elsewhere.exec(location)?.[1]
  if (scheme !== undefined) {
    throw new HoldfastError(
      'InvalidInput',
      `A store of kind ${scheme} is not supported: a directory or an s3: location was expected.`,
      {
        guidance:
          'Copy the repository to a directory or a bucket, or write ./ before a directory of that name.',
      },
    )
  }
  const path = location.startsWith('local:') ? location.slice('local:'.length) : location
  if (path === '' || path.includes('\0')) {
    throw new HoldfastError('InvalidInput', 'The location of the repository is empty.', {
      guidance: 'Name a directory or an s3: location.',
    })
  }
  return resolve(path)
}

function cacheName(location: string): string {
  return sha256Hex(Buffer.from(location)).slice(0, 32)
}
