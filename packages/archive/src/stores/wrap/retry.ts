import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { BlobStore, FileName, FileType, ListedFile } from '../blob-store.ts'
import { layoutPath } from '../layout.ts'
import { retryAfterOf } from '../retry-after.ts'
import { wrapStore } from './wrap-store.ts'

/** What a retry is about to do, for progress and logs. */
export interface RetryEvent {
  readonly operation: string
  readonly place: string
  /** The attempt that failed, from 1. */
  readonly attempt: number
  readonly waitMs: number
  readonly error: HoldfastError
}

/** Options of the retry wrapper. Times in ms. */
export interface RetryOptions {
  /** Attempts in all, the first included; 10 unless told. */
  readonly attempts?: number
  /** No attempt starts later than this after the first; 15 minutes unless told, as restic has it. */
  readonly withinMs?: number
  /** The first wait is a random part of this, doubled each time; 500 unless told. */
  readonly baseMs?: number
  /** No own wait is longer; 60 seconds unless told. A longer Retry-After is honoured within `withinMs`. */
  readonly longestMs?: number
  readonly onRetry?: (event: RetryEvent) => void
  /** Stops waiting: the pending call ends as `Cancelled`. */
  readonly signal?: AbortSignal
  readonly now?: () => number
  readonly random?: () => number
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>
}

type Settings = Required<Omit<RetryOptions, 'onRetry' | 'signal'>> & Pick<RetryOptions, 'onRetry' | 'signal'>

/**
 * Repeats calls that failed for a passing reason (`retry: 'later'`), with exponential backoff and full
 * jitter: each wait is uniform between 0 and the doubled bound, but at least what `Retry-After` asks.
 * Permanent errors pass straight through. Every operation of the port is safe to repeat; the two
 * outcomes that look different the second time are put right here:
 * - a config saved by an attempt whose answer was lost (`RepositoryExists` for our own bytes) is a success;
 * - a torn file left by our own failed attempt (`Damaged`, wrong size) is removed and written again.
 */
export function withRetry(store: BlobStore, options: RetryOptions = {}): BlobStore {
  const settings = settingsOf(options)
  const again = <T>(operation: string, place: string, work: (attempt: number) => Promise<T>): Promise<T> =>
    retrying(settings, { operation, place }, work)
  return wrapStore(store, {
    create: () => again('create', store.location, () => store.create()),
    save: async (file, body) =>
      again('save', layoutPath(file), (attempt) => saveAgain(store, file, body, attempt)),
    load: async (file, range) => again('load', layoutPath(file), () => store.load(file, range)),
    stat: async (file) => again('stat', layoutPath(file), () => store.stat(file)),
    list: (type) => listAgain(store, type, settings),
    remove: async (file) => again('remove', layoutPath(file), () => store.remove(file)),
  })
}

async function saveAgain(store: BlobStore, file: FileName, body: Uint8Array, attempt: number): Promise<void> {
  try {
    await store.save(file, body)
  } catch (error) {
    if (attempt === 1) throw error
    if (isHoldfastError(error, 'RepositoryExists') && (await holds(store, file, body))) return
    if (!isHoldfastError(error, 'Damaged') || file.type === 'config') throw error
    await store.remove(file)
    await store.save(file, body)
  }
}

async function holds(store: BlobStore, file: FileName, body: Uint8Array): Promise<boolean> {
  const { size } = await store.stat(file)
  return size === body.length && (await store.load(file)).equals(body)
}

/** A listing that breaks off starts again and leaves out what was given already. Each row given earns fresh attempts. */
async function* listAgain(store: BlobStore, type: FileType, settings: Settings): AsyncIterable<ListedFile> {
  const given = new Set<string>()
  const pace = new Pace(settings, { operation: 'list', place: type })
  for (;;) {
    try {
      for await (const row of store.list(type)) {
        if (given.has(row.id)) continue
        given.add(row.id)
        pace.restart()
        yield row
      }
      return
    } catch (error) {
      await pace.afterFailure(error)
    }
  }
}

async function retrying<T>(
  settings: Settings,
  call: { readonly operation: string; readonly place: string },
  work: (attempt: number) => Promise<T>,
): Promise<T> {
  const pace = new Pace(settings, call)
  for (;;) {
    try {
      return await work(pace.attempt)
    } catch (error) {
      await pace.afterFailure(error)
    }
  }
}

/** Counts the attempts of one call and waits between them. */
class Pace {
  attempt = 1
  private readonly settings: Settings
  private readonly call: { readonly operation: string; readonly place: string }
  private started: number

  constructor(settings: Settings, call: { readonly operation: string; readonly place: string }) {
    this.settings = settings
    this.call = call
    this.started = settings.now()
  }

  restart(): void {
    this.attempt = 1
    this.started = this.settings.now()
  }

  /** Waits before the next attempt, or throws when there is none. */
  async afterFailure(error: unknown): Promise<void> {
    const { settings, attempt } = this
    if (!isHoldfastError(error) || error.retry !== 'later') throw error
    if (attempt >= settings.attempts) throw exhausted(error, attempt)
    const bound = Math.min(settings.longestMs, settings.baseMs * 2 ** (attempt - 1))
    const waitMs = Math.max(retryAfterOf(error) ?? 0, settings.random() * bound)
    if (settings.now() + waitMs - this.started > settings.withinMs) throw exhausted(error, attempt)
    settings.onRetry?.({ ...this.call, attempt, waitMs, error })
    await settings.sleep(waitMs, settings.signal)
    if (settings.signal?.aborted === true) {
      throw new HoldfastError('Cancelled', 'Stopped while waiting for the store.', { cause: error })
    }
    this.attempt++
  }
}

/** Keeps `later`: the next run may succeed where this one gave up. */
function exhausted(error: HoldfastError, attempts: number): HoldfastError {
  return new HoldfastError(
    error.code,
    `${error.message} Gave up after ${attempts} attempt${attempts === 1 ? '' : 's'}.`,
    {
      ...(error.guidance === undefined ? {} : { guidance: error.guidance }),
      ...(error.place === undefined ? {} : { place: error.place }),
      retry: 'later',
      cause: error,
    },
  )
}

function settingsOf(options: RetryOptions): Settings {
  return {
    attempts: 10,
    withinMs: 15 * 60_000,
    baseMs: 500,
    longestMs: 60_000,
    now: () => performance.now(),
    random: Math.random,
    sleep: wait,
    ...options,
  }
}

/** Resolves after `ms`, or at once when the signal fires. */
function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}
