import { describe, expect, it } from 'vitest'
import type { FileName } from './blob-store.ts'
import { failureOf, someFile, storeMustBehave } from './conformance.testing.ts'
import {
  collect,
  faultyStore,
  fullDiskStore,
  laggingStore,
  staleListingStore,
  tearingStore,
} from './doubles.testing.ts'
import { openMemoryStore } from './memory.ts'
import { withRetry } from './wrap/retry.ts'

let seed = 0
const patient = { attempts: 50, sleep: async () => {} }

// A torn config has no hash to tell it from a stranger's: retry leaves it, and init says there is one.
const notConfig = (file: FileName): boolean => file.type !== 'config'

storeMustBehave('lagging', async () => ({
  store: laggingStore(openMemoryStore(), { seed: ++seed, longestMs: 3 }),
}))
storeMustBehave(
  'stale listing',
  async () => ({ store: staleListingStore(openMemoryStore(), { behind: 5 }) }),
  {
    eventualListing: true,
  },
)
storeMustBehave('a disk with room', async () => ({
  store: fullDiskStore(openMemoryStore(), { free: 2 ** 30 }),
}))
storeMustBehave(
  'faulty under retry',
  async () => ({
    store: withRetry(faultyStore(openMemoryStore(), { seed: ++seed, rate: 0.4 }), patient),
  }),
  { ownConfigAgain: true },
)
storeMustBehave(
  'tearing under retry',
  async () => ({
    store: withRetry(tearingStore(openMemoryStore(), { seed: ++seed, rate: 0.5, only: notConfig }), patient),
  }),
  { ownConfigAgain: true, sameFileRace: false },
)

describe('the doubles misbehave as they say', () => {
  it('faulty fails before or after the effect, the same way for the same seed', async () => {
    const outcomes = async (): Promise<string> => {
      const inner = openMemoryStore()
      const store = faultyStore(inner, { seed: 7, rate: 0.5 })
      let seen = ''
      for (let i = 0; i < 40; i++) {
        const file = { type: 'pack', id: i.toString(16).padStart(64, '0') } as const
        const failed = (await failureOf(store.save(file, Buffer.from('x')))) !== undefined
        const there = (await failureOf(inner.stat(file))) === undefined
        seen += failed ? (there ? 'a' : 'b') : there ? '.' : '!'
      }
      return seen
    }
    const first = await outcomes()
    expect(first).toMatch(/a/)
    expect(first).toMatch(/b/)
    expect(first).toMatch(/\./)
    expect(first).not.toMatch(/!/)
    expect(await outcomes()).toBe(first)
  })

  it('a stale listing is behind by the number of calls told', async () => {
    const store = staleListingStore(openMemoryStore(), { behind: 3 })
    const { file, body } = someFile('lock', 5)
    await store.save(file, body)
    expect(await collect(store.list('lock'))).toEqual([])
    await store.stat(file)
    expect(await collect(store.list('lock'))).toEqual([{ id: file.id, size: 5 }])
    await store.remove(file)
    expect(await collect(store.list('lock'))).toEqual([{ id: file.id, size: 5 }])
  })

  it('tearing leaves the first part under the final name', async () => {
    const inner = openMemoryStore()
    const store = tearingStore(inner, { seed: 3, rate: 1 })
    const { file, body } = someFile('index', 1000)
    expect(await failureOf(store.save(file, body))).toBe('StoreUnavailable')
    const torn = await inner.load(file)
    expect(torn.length).toBeLessThan(1000)
    expect(torn.equals(body.subarray(0, torn.length))).toBe(true)
    expect(await failureOf(store.save(file, body))).toBe('Damaged')
  })

  it('a full disk takes what fits and has room again after a removal', async () => {
    const store = fullDiskStore(openMemoryStore(), { free: 150 })
    const [first, second] = [someFile('pack', 100), someFile('pack', 100)]
    await store.save(first.file, first.body)
    expect(await failureOf(store.save(second.file, second.body))).toBe('StoreUnavailable')
    await store.remove(first.file)
    await store.save(second.file, second.body)
    expect(store.free).toBe(50)
  })
})
