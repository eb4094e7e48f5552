import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addBlobRef, type BlobRefs, createBlobRefs } from './blob-refs.ts'
import { coalesceReads, planPackJobs } from './pack-jobs.ts'

const id = (n: number): string => n.toString(16).padStart(64, '0')

interface Wanted {
  readonly pack: number
  readonly offset: number
  readonly length: number
}

function refsOf(wanted: readonly Wanted[]): BlobRefs {
  const refs = createBlobRefs(Math.max(1, wanted.length))
  wanted.forEach(({ pack, offset, length }, file) => {
    const location = { packId: id(pack), offset, length: length + 32, uncompressedLength: 0 }
    addBlobRef(refs, { file, fileOffset: 0, id: id(file), location })
  })
  return refs
}

const wanted = fc.array(
  fc.record({ pack: fc.nat(4), offset: fc.nat(50).map((n) => n * 100), length: fc.constant(68) }),
  { maxLength: 200 },
)

test('every reference lands in exactly one job, of its pack, in ascending offset order', () => {
  fc.assert(
    fc.property(wanted, fc.integer({ min: 1, max: 1000 }), (list, sealedBytes) => {
      const refs = refsOf(list)
      const seen: number[] = []
      for (const job of planPackJobs(refs, { sealedBytes, writtenBytes: 500, targets: 7 })) {
        const offsets = [...job.refs].map((r) => refs.packOffset[r] ?? -1)
        expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
        for (const r of job.refs) expect(refs.pack[r]).toBe(job.pack)
        expect(job.refs.length).toBeLessThanOrEqual(7)
        seen.push(...job.refs)
      }
      expect(seen.toSorted((a, b) => a - b)).toEqual(list.map((_, i) => i))
    }),
  )
})

test('what is already in place is not planned', () => {
  const refs = refsOf([
    { pack: 0, offset: 0, length: 10 },
    { pack: 0, offset: 100, length: 10 },
  ])
  refs.inPlace[0] = 1
  expect(planPackJobs(refs).map((job) => [...job.refs])).toEqual([[1]])
})

test('a blob wanted in many places is counted once as read and every time as written', () => {
  const refs = refsOf(Array.from({ length: 10 }, () => ({ pack: 0, offset: 0, length: 68 })))
  expect(planPackJobs(refs, { sealedBytes: 100, writtenBytes: 1e9, targets: 100 })).toHaveLength(1)
  expect(planPackJobs(refs, { sealedBytes: 100, writtenBytes: 68 * 5, targets: 100 })).toHaveLength(2)
})

test('reads join over small gaps, not over large ones, and cover every blob', () => {
  const offsets = Uint32Array.of(0, 0, 150, 1000)
  const lengths = Uint32Array.of(100, 100, 50, 10)
  expect(coalesceReads(offsets, lengths, { gap: 100, longest: 1000 })).toEqual([
    { offset: 0, length: 200 },
    { offset: 1000, length: 10 },
  ])
  expect(coalesceReads(offsets, lengths, { gap: 100, longest: 120 })).toHaveLength(3)
  expect(coalesceReads(new Uint32Array(0), new Uint32Array(0))).toEqual([])
})
