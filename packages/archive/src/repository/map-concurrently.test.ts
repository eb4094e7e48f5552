import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { mapConcurrently } from './map-concurrently.ts'

describe('mapping concurrently', () => {
  it.each([0, 1, 3, 10, 100])('gives the results in order with at most %i at once', async (limit) => {
    let now = 0
    let most = 0
    const items = Array.from({ length: 30 }, (_, i) => i)
    const results = await mapConcurrently(items, limit, async (i) => {
      most = Math.max(most, ++now)
      for (let n = 0; n < 1 + ((i * 7) % 5); n++) await turn()
      now--
      return i * i
    })
    expect(results).toEqual(items.map((i) => i * i))
    expect(most).toBe(Math.max(1, Math.min(limit, 30)))
  })

  it('throws the first failure after the calls that run have ended, and begins no more', async () => {
    const begun: number[] = []
    const ended: number[] = []
    const work = mapConcurrently([0, 1, 2, 3, 4, 5], 2, async (i) => {
      begun.push(i)
      await turn()
      if (i === 1) throw new Error('one')
      for (let n = 0; n < 5; n++) await turn()
      ended.push(i)
    })
    await expect(work).rejects.toThrow('one')
    expect(begun).toEqual([0, 1])
    expect(ended).toEqual([0])
  })

  it('of nothing is nothing', async () => {
    expect(await mapConcurrently([], 4, async () => await Promise.resolve(1))).toEqual([])
  })
})
