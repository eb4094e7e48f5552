import { HoldfastError } from '@holdfast/contract'
import { describe, expect, it } from 'vitest'
import type { BlobStore } from '../blob-store.ts'
import { failureOf, someFile, storeMustBehave } from '../conformance.testing.ts'
import { collect, faultyStore } from '../doubles.testing.ts'
import { openMemoryStore } from '../memory.ts'
import { noteRetryAfter } from '../retry-after.ts'
import { type RetryOptions, withRetry } from './retry.ts'
import { wrapStore } from './wrap-store.ts'

storeMustBehave('retry over memory', async () => ({ store: withRetry(openMemoryStore()) }))

/** Time that passes only by sleeping. */
function manualTime(random = 1): RetryOptions & { readonly waits: number[] } {
  const waits: number[] = []
  let now = 0
  return {
    waits,
    now: () => now,
    random: () => random,
    sleep: async (ms) => {
      waits.push(ms)
      now += ms
    },
  }
}

/** Fails every stat with what `next` gives, until it gives nothing. */
function failing(next: () => Error | undefined): BlobStore {
  return wrapStore(openMemoryStore(), {
    stat: async () => {
      const error = next()
      if (error !== undefined) throw error
      return { size: 1 }
    },
  })
}

const down = (): HoldfastError =>
  new HoldfastError('StoreUnavailable', 'down', { retry: 'later', guidance: 'wait', place: 'keys/1' })
const { file } = someFile('key', 1)

describe('retry', () => {
  it('doubles the bound of each wait up to the longest, and draws the wait from all of it', async () => {
    for (const random of [1, 0.25, 0]) {
      const time = manualTime(random)
      const store = withRetry(failing(down), { ...time, attempts: 6, baseMs: 100, longestMs: 1000 })
      expect(await failureOf(store.stat(file))).toBe('StoreUnavailable')
      expect(time.waits).toEqual([100, 200, 400, 800, 1000].map((ms) => ms * random))
    }
  })

  it('waits at least as long as the server asked', async () => {
    const time = manualTime(0.5)
    const errors = [noteRetryAfter(down(), 7000), noteRetryAfter(down(), 1)]
    await withRetry(
      failing(() => errors.shift()),
      { ...time, baseMs: 100 },
    ).stat(file)
    expect(time.waits).toEqual([7000, 100])
  })

  it('gives up before a wait that would end too late, and says after how many attempts', async () => {
    const time = manualTime()
    const store = withRetry(
      failing(() => noteRetryAfter(down(), 40_000)),
      { ...time, withinMs: 100_000 },
    )
    await expect(store.stat(file)).rejects.toMatchObject({
      code: 'StoreUnavailable',
      message: 'down Gave up after 3 attempts.',
      guidance: 'wait',
      place: 'keys/1',
      retry: 'later',
    })
    expect(time.waits).toEqual([40_000, 40_000])
  })

  it.each(['StoreRefused', 'NotFound', 'Damaged', 'RepositoryExists', 'StoreUnavailable'] as const)(
    'passes a permanent %s straight through',
    async (code) => {
      const time = manualTime()
      const error = new HoldfastError(code, 'no')
      await expect(
        withRetry(
          failing(() => error),
          time,
        ).stat(file),
      ).rejects.toBe(error)
      expect(time.waits).toEqual([])
    },
  )

  it('tells of every wait', async () => {
    const events: string[] = []
    const errors = [down(), down()]
    const onRetry: RetryOptions['onRetry'] = ({ operation, attempt, waitMs }) =>
      events.push(`${operation} ${attempt} ${waitMs}`)
    await withRetry(
      failing(() => errors.shift()),
      { ...manualTime(), onRetry },
    ).stat(file)
    expect(events).toEqual(['stat 1 500', 'stat 2 1000'])
  })

  it('stops waiting when told', async () => {
    const stop = new AbortController()
    const store = withRetry(failing(down), {
      baseMs: 3_600_000,
      longestMs: 3_600_000,
      withinMs: 1e9,
      random: () => 1,
      signal: stop.signal,
    })
    const pending = failureOf(store.stat(file))
    setTimeout(() => stop.abort(), 5)
    expect(await pending).toBe('Cancelled')
  })

  it('takes its own config for saved when only the answer was lost, but not another’s', async () => {
    const config = someFile('config', 155)
    const lossy = (inner: BlobStore): BlobStore => {
      let first = true
      return wrapStore(inner, {
        save: async (name, body) => {
          const lost = first
          first = false
          if (!lost) return inner.save(name, body)
          await inner.save(name, body).catch(() => undefined)
          throw down()
        },
      })
    }
    const inner = openMemoryStore()
    await withRetry(lossy(inner), manualTime()).save(config.file, config.body)
    expect((await inner.load(config.file)).equals(config.body)).toBe(true)
    const other = someFile('config', 155)
    expect(await failureOf(withRetry(lossy(inner), manualTime()).save(other.file, other.body))).toBe(
      'RepositoryExists',
    )
  })

  it('a listing that breaks off goes on without rows twice', async () => {
    const inner = openMemoryStore()
    const files = Array.from({ length: 50 }, () => someFile('pack', 3))
    for (const each of files) await inner.save(each.file, each.body)
    const faulty = faultyStore(inner, { seed: 11, rate: 0.8, when: 'after' })
    const rows = await collect(
      withRetry(faulty, { ...manualTime(), attempts: 1000, withinMs: 1e12 }).list('pack'),
    )
    expect(rows.map(({ id }) => id).toSorted()).toEqual(files.map((each) => each.file.id).toSorted())
    expect(faulty.faults()).toBeGreaterThan(0)
  })
})
