import { describe, expect, it } from 'vitest'
import { someFile, storeMustBehave } from '../conformance.testing.ts'
import { openMemoryStore } from '../memory.ts'
import { type RateClock, tokenBucket, withRateLimit } from './rate-limit.ts'

storeMustBehave('rate limit over memory', async () => ({
  store: withRateLimit(openMemoryStore(), { uploadBytesPerSecond: 1e12, downloadBytesPerSecond: 1e12 }),
}))

/** A clock on which sleepers wake in order of their time, when nothing else is left to do. */
function manualClock(): RateClock & { advance(ms: number): void } {
  let now = 0
  return {
    now: () => now,
    sleep: async (ms) => {
      const until = now + ms
      await new Promise((resolve) => setImmediate(resolve))
      now = Math.max(now, until)
    },
    advance: (ms) => {
      now += ms
    },
  }
}

describe('the rate limit', () => {
  it('lets one second’s worth through at once, then paces to the rate', async () => {
    const clock = manualClock()
    const store = withRateLimit(openMemoryStore(), { uploadBytesPerSecond: 1000, clock })
    for (let i = 0; i < 11; i++) {
      const { file, body } = someFile('pack', 500)
      await store.save(file, body)
    }
    // 5500 bytes less the 1000 in the bucket at the start, at 1000 per second.
    expect(clock.now()).toBe(4500)
  })

  it('counts all concurrent callers together', async () => {
    const clock = manualClock()
    const store = withRateLimit(openMemoryStore(), { uploadBytesPerSecond: 1000, clock })
    const files = Array.from({ length: 11 }, () => someFile('pack', 500))
    await Promise.all(files.map(({ file, body }) => store.save(file, body)))
    expect(clock.now()).toBe(4500)
  })

  it('charges a whole load when its size is known, and a range before', async () => {
    const clock = manualClock()
    const inner = openMemoryStore()
    const { file, body } = someFile('pack', 3000)
    await inner.save(file, body)
    const store = withRateLimit(inner, { downloadBytesPerSecond: 1000, clock })
    await store.load(file)
    expect(clock.now()).toBe(0)
    await store.load(file, { offset: 0, length: 1000 })
    expect(clock.now()).toBe(3000)
  })

  it('an idle bucket does not save up more than one second', async () => {
    const clock = manualClock()
    const bucket = tokenBucket(1000, clock)
    clock.advance(60_000)
    await bucket.take(3000)
    expect(clock.now()).toBe(62_000)
  })

  it('leaves the other direction free, and refuses a rate of nothing', async () => {
    const clock = manualClock()
    const store = withRateLimit(openMemoryStore(), { downloadBytesPerSecond: 1, clock })
    const { file, body } = someFile('pack', 5000)
    await store.save(file, body)
    expect(clock.now()).toBe(0)
    expect(() => tokenBucket(0, clock)).toThrow(RangeError)
    expect(() => tokenBucket(Number.NaN, clock)).toThrow(RangeError)
  })
})
