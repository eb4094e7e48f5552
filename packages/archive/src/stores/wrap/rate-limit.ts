import type { BlobStore } from '../blob-store.ts'
import { checkRange } from '../check-range.ts'
import { wrapStore } from './wrap-store.ts'

/** Time as the limiter sees it, in ms; tests bring their own. */
export interface RateClock {
  now(): number
  sleep(ms: number): Promise<void>
}

/** Options of the rate limit. Rates in bytes per second; without one that direction is free. */
export interface RateLimitOptions {
  readonly uploadBytesPerSecond?: number
  readonly downloadBytesPerSecond?: number
  readonly clock?: RateClock
}

/**
 * Keeps uploads and downloads to a rate, over all calls of this store together. The grain is a call:
 * a save waits for its share and then goes at full speed; a load with a range waits before, a whole
 * load is charged after, and the next one waits. Over more than a few packs the average is the rate.
 */
export function withRateLimit(store: BlobStore, options: RateLimitOptions): BlobStore {
  const clock = options.clock ?? realClock
  const up =
    options.uploadBytesPerSecond === undefined ? undefined : tokenBucket(options.uploadBytesPerSecond, clock)
  const down =
    options.downloadBytesPerSecond === undefined
      ? undefined
      : tokenBucket(options.downloadBytesPerSecond, clock)
  return wrapStore(store, {
    save: async (file, body) => {
      await up?.take(body.length)
      await store.save(file, body)
    },
    load: async (file, range) => {
      if (range !== undefined) {
        checkRange(file, range)
        await down?.take(range.length)
      } else await down?.take(0)
      const bytes = await store.load(file, range)
      if (range === undefined) down?.charge(bytes.length)
      return bytes
    },
  })
}

/** A token bucket that may run into debt, so that a body larger than the bucket still passes. */
export interface TokenBucket {
  /** Takes `bytes` and waits until the bucket, with everyone who asked before, is out of debt. */
  take(bytes: number): Promise<void>
  /** Takes `bytes` without waiting; later callers of `take` wait for it. */
  charge(bytes: number): void
}

/** A bucket that fills at `bytesPerSecond` and holds at most one second's worth. */
export function tokenBucket(bytesPerSecond: number, clock: RateClock): TokenBucket {
  if (!(bytesPerSecond > 0))
    throw new RangeError(`A rate must be more than 0 bytes per second, found ${bytesPerSecond}.`)
  let tokens = bytesPerSecond
  let filledAt = clock.now()
  const charge = (bytes: number): void => {
    const now = clock.now()
    tokens = Math.min(bytesPerSecond, tokens + ((now - filledAt) / 1000) * bytesPerSecond)
    filledAt = now
    tokens -= bytes
  }
  return {
    charge,
    async take(bytes) {
      charge(bytes)
      if (tokens < 0) await clock.sleep((-tokens / bytesPerSecond) * 1000)
    },
  }
}

const realClock: RateClock = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}
