import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HOLE_BYTES, sparseRuns } from './sparse-runs.ts'

test('runs cover the bytes in order, alternate, and say the truth about zeros', () => {
  const pieces = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 3 * HOLE_BYTES })), {
    maxLength: 6,
  })
  fc.assert(
    fc.property(pieces, fc.nat(2 * HOLE_BYTES), (list, offset) => {
      const bytes = Buffer.concat(list.map(([zero, length]) => Buffer.alloc(length, zero ? 0 : 7)))
      let at = 0
      let last: boolean | undefined
      for (const run of sparseRuns(bytes, offset)) {
        expect(run.start).toBe(at)
        expect(run.zero).not.toBe(last)
        if (run.zero) expect(bytes.subarray(run.start, run.end).every((b) => b === 0)).toBe(true)
        at = run.end
        last = run.zero
      }
      expect(at).toBe(bytes.length)
    }),
  )
})

test('a whole zero block of the file between data is a run of its own', () => {
  const bytes = Buffer.alloc(3 * HOLE_BYTES, 1)
  bytes.fill(0, HOLE_BYTES, 2 * HOLE_BYTES)
  expect([...sparseRuns(bytes, 0)].map((r) => r.zero)).toEqual([false, true, false])
  expect([...sparseRuns(bytes, 100)].map((r) => r.zero)).toEqual([false])
})
