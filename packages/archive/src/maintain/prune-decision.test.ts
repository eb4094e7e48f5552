import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decidePacks, type PackUse, type PruneRules, toleratedBytes } from './prune-decision.ts'

const rules: PruneRules = {
  maxUnused: { percent: 5 },
  maxRepackBytes: Number.POSITIVE_INFINITY,
  repackCacheableOnly: false,
  repackUncompressed: false,
  smallPackBytes: 100,
  formatVersion: 2,
}

function use(id: string, members: Partial<PackUse> = {}): PackUse {
  const base = {
    type: 'data',
    usedBlobs: 10,
    unusedBlobs: 0,
    usedBytes: 960,
    unusedBytes: 0,
    headerBytes: 40,
  } as const
  return { ...base, uncompressed: false, plainTree: false, id, ...members }
}

const unused = { usedBlobs: 0, usedBytes: 0, unusedBlobs: 5, unusedBytes: 500 }
const half = { unusedBlobs: 10, unusedBytes: 1000 }

describe('what prune does with a pack', () => {
  it('removes a pack without used blobs and keeps one that is all used', () => {
    const { remove, repack, kept } = decidePacks([use('a', unused), use('b')], rules)
    expect(remove.map(({ id, reason }) => [id, reason])).toEqual([['a', 'unused']])
    expect([repack, kept]).toEqual([[], 1])
  })

  it('repacks the packs with most waste first, and stops when little enough is unused', () => {
    const packs = [use('a', { unusedBlobs: 1, unusedBytes: 100 }), use('b', half), use('c'), use('d')]
    expect(decidePacks(packs, { ...rules, maxUnused: { bytes: 101 } }).repack.map(({ id }) => id)).toEqual([
      'b',
    ])
    expect(decidePacks(packs, { ...rules, maxUnused: { bytes: 0 } }).repack.map(({ id }) => id)).toEqual([
      'b',
      'a',
    ])
    expect(decidePacks(packs, { ...rules, maxUnused: 'unlimited' }).repack).toEqual([])
  })

  it('repacks mixed packs, trees with waste and plain trees whatever is tolerated', () => {
    const packs = [
      use('a', { type: 'mixed' }),
      use('b', { type: 'tree', ...half }),
      use('c', { type: 'tree', plainTree: true, uncompressed: true }),
    ]
    const { repack } = decidePacks(packs, { ...rules, maxUnused: 'unlimited' })
    expect(repack.map(({ id, reason }) => `${id} ${reason}`).toSorted()).toEqual([
      'a mixed',
      'b partly unused',
      'c uncompressed',
    ])
    expect(decidePacks(packs.slice(2), { ...rules, formatVersion: 1 }).repack).toEqual([])
  })

  it('leaves packs of file data alone when asked to repack cacheable packs only', () => {
    const cacheable = { ...rules, repackCacheableOnly: true, maxUnused: { bytes: 0 } }
    const { remove, repack } = decidePacks(
      [use('a', half), use('b', unused), use('c', { type: 'tree', ...half })],
      cacheable,
    )
    expect(remove.map(({ id }) => id)).toEqual(['b'])
    expect(repack.map(({ id }) => id)).toEqual(['c'])
  })

  it('puts small packs together once there are ten of them', () => {
    const small = Array.from({ length: 10 }, (_, i) => use(`s${i}`, { usedBytes: 50 }))
    expect(decidePacks(small, rules).repack).toHaveLength(10)
    expect(decidePacks(small.slice(1), rules)).toEqual({ remove: [], repack: [], kept: 9 })
  })

  it('counts a percentage from what would be left', () => {
    expect(toleratedBytes({ percent: 5 }, 950)).toBeCloseTo(50)
    expect(toleratedBytes({ percent: 100 }, 1)).toBe(Number.POSITIVE_INFINITY)
  })

  it('never touches a fully used, full-size, compressed pack, and never repacks past the limit', () => {
    const pack = fc.record({
      type: fc.constantFrom<PackUse['type'][]>('data', 'tree', 'mixed'),
      usedBlobs: fc.nat(3),
      unusedBlobs: fc.nat(3),
      usedBytes: fc.integer({ min: 40, max: 5000 }),
      unusedBytes: fc.nat(5000),
      uncompressed: fc.boolean(),
      plainTree: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(pack, { maxLength: 30 }), fc.nat(20_000), (members, maxRepackBytes) => {
        const packs = members.map((member, i) =>
          use(`p${i}`, { ...member, unusedBytes: member.unusedBlobs === 0 ? 0 : member.unusedBytes }),
        )
        const { remove, repack, kept } = decidePacks(packs, { ...rules, maxRepackBytes })
        expect(remove.length + repack.length + kept).toBe(packs.length)
        expect(repack.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(maxRepackBytes)
        for (const { id } of remove) {
          expect(packs.find((p) => p.id === id)?.usedBlobs).toBe(0)
        }
      }),
    )
  })
})
