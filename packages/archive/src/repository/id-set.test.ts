import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { fc, test } from '../engine/property.testing.ts'
import { sha256 } from '../format/ids.ts'
import { idSetSegment, openIdSet } from './id-set.ts'

describe('a set of ids', () => {
  test('answers as a Set does, over any number of segments', fc.array(fc.nat(60)), (values) => {
    const set = openIdSet([idSetSegment(4)])
    const model = new Set<number>()
    for (const value of values) {
      if (set.wantsSegment()) set.addSegment(idSetSegment(8))
      const id = sha256(Buffer.from(`${value}`))
      expect(set.has(id)).toBe(model.has(value))
      expect(set.add(id)).toBe(!model.has(value))
      model.add(value)
      for (const known of model) expect(set.has(sha256(Buffer.from(`${known}`)))).toBe(true)
    }
  })

  it('calls everything new when it is full, and loses nothing it holds', () => {
    const set = openIdSet([idSetSegment(10)])
    const ids = Array.from({ length: 40 }, (_, i) => sha256(Buffer.from(`${i}`)))
    expect(ids.map((id) => set.add(id))).toEqual(ids.map(() => true))
    expect(ids.map((id) => set.has(id))).toEqual(ids.map((_, i) => i < 10))
    expect(ids.slice(0, 10).map((id) => set.add(id))).toEqual(ids.slice(0, 10).map(() => false))
    set.addSegment(idSetSegment(100))
    for (const id of ids) set.add(id)
    expect(ids.every((id) => set.has(id))).toBe(true)
  })

  it('wants a segment once half of the newest is used, and when it has none', () => {
    expect(openIdSet([]).wantsSegment()).toBe(true)
    const set = openIdSet([idSetSegment(10)])
    const wants = Array.from({ length: 7 }, (_, i) => {
      set.add(sha256(Buffer.from(`${i}`)))
      return set.wantsSegment()
    })
    expect(wants).toEqual([false, false, false, false, false, true, true])
  })

  it('is the same set in every thread that opens its segments', () => {
    const segments = [idSetSegment(100), idSetSegment(100)]
    const one = openIdSet(segments)
    const other = openIdSet(segments)
    const id = sha256(Buffer.from('a'))
    expect(one.add(id)).toBe(true)
    expect(other.has(id)).toBe(true)
    expect(other.add(id)).toBe(false)
  })

  it.each([
    ['with room for all', 40_000, 1],
    ['whose capacity is less than what comes', 5000, 1],
    ['of two segments', 40_000, 2],
  ])('loses no id to four threads that add the same ones at once, %s', async (_, capacity, segmentCount) => {
    const count = 20_000
    const ids = new SharedArrayBuffer(count * 32)
    randomFillSync(new Uint8Array(ids))
    const segments = Array.from({ length: segmentCount }, () => idSetSegment(capacity))
    const start = new SharedArrayBuffer(4)
    const threads = Array.from({ length: 4 }, (__, i) => {
      const from = (i * count) / 4
      return new Worker(new URL('./id-set-worker.testing.ts', import.meta.url), {
        workerData: { segments, ids, start, from },
      })
    })
    await Promise.all(threads.map(async (thread) => await once(thread, 'message')))
    const answers = threads.map(async (thread) => (await once(thread, 'message'))[0] as ThreadAnswer)
    Atomics.store(new Int32Array(start), 0, 1)
    Atomics.notify(new Int32Array(start), 0)
    const results = await Promise.all(answers)
    const set = openIdSet(segments)
    const stored = Array.from({ length: count }, (__, i) => set.has(Buffer.from(ids), i * 32)).filter(Boolean)
    const added = results.reduce((sum, result) => sum + result.added, 0)
    if (capacity >= count) {
      // in one segment, of several threads exactly one is told that an id was new
      expect(results.map((r) => r.missing)).toEqual([0, 0, 0, 0])
      expect(stored).toHaveLength(count)
      expect(added).toBe(count)
    } else {
      // entries that lost a race are spent, so slightly fewer ids than its capacity may be held
      expect(stored.length).toBeGreaterThan(capacity * 0.5)
      expect(stored.length).toBeLessThanOrEqual(capacity)
      expect(added).toBeGreaterThanOrEqual(count)
    }
  })
})

interface ThreadAnswer {
  readonly added: number
  readonly missing: number
}
