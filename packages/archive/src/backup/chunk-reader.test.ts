import { closeSync, fstatSync, symlinkSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { openPrimitives } from '../engine/primitives.ts'
import { fc } from '../engine/property.testing.ts'
import { sha256Hex } from '../format/ids.ts'
import { openKernel } from '../kernel/kernel.ts'
import { openPosix } from '../posix/posix.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import { idSetSegment, openIdSet } from '../repository/id-set.ts'
import { makeSparse, noise } from './archive.testing.ts'
import {
  ChunkReader,
  openToRead,
  READER_HEAP_BYTES,
  type ReadAt,
  readerOf,
  SEGMENT_BYTES,
} from './chunk-reader.ts'
import type { PackSink } from './pack-sink.ts'

const MIB = 1024 * 1024
const scratch = scratchDirectory('chunks')
const kernel = openKernel(READER_HEAP_BYTES, 0x3da3358b4dc173n)
const primitives = openPrimitives({})

function reader() {
  const saved = new Map<string, Buffer>()
  const sink = {
    save: (_: string, id: string, plain: Uint8Array) => void saved.set(id, Buffer.from(plain)),
  } as unknown as PackSink
  const known = openIdSet([idSetSegment(10_000)])
  return { saved, chunks: new ChunkReader({ kernel, primitives, known, sink, charge: () => undefined }) }
}

const readFrom =
  (bytes: Buffer, most: () => number): ReadAt =>
  (at, length, offset) =>
    bytes.copy(kernel.memory, at, offset, Math.min(offset + Math.min(length, most()), bytes.length))

describe('a chunk reader', () => {
  it('finds the same chunks however the source gives its bytes, segment by segment', () => {
    const bytes = Buffer.concat([noise(1, 9 * MIB), Buffer.alloc(3 * MIB), noise(2, 8 * MIB + 77)])
    const cut = (most: () => number) => {
      const { chunks, saved } = reader()
      const content: string[] = []
      const at = { offset: 0, eof: false }
      while (!at.eof) {
        const start = at.offset
        let told = 0
        const source = { offset: start, fixedChunkBytes: 0, read: readFrom(bytes, most) }
        const result = chunks.storeSegment(source, (next, end) => {
          told++
          Object.assign(at, { offset: next, eof: end })
        })
        expect(told).toBe(1)
        expect(at.offset - start).toBe(result.length)
        if (!at.eof) expect(result.length).toBeGreaterThanOrEqual(SEGMENT_BYTES)
        content.push(...result.content)
      }
      const whole = Buffer.concat(content.map((id) => saved.get(id) ?? Buffer.alloc(0)))
      expect(whole.equals(bytes)).toBe(true)
      for (const [id, plain] of saved) expect(sha256Hex(plain)).toBe(id)
      return content
    }
    const expected = cut(() => Number.POSITIVE_INFINITY)
    fc.assert(
      fc.property(fc.infiniteStream(fc.integer({ min: 1000, max: 2_000_000 })), (sizes) => {
        expect(cut(() => sizes.next().value as number)).toEqual(expected)
      }),
      { numRuns: 5 },
    )
  })

  it('passes a chunk on once, zeros included', () => {
    const { chunks, saved } = reader()
    const bytes = Buffer.alloc(6 * MIB)
    const result = chunks.storeSegment(
      { offset: 0, fixedChunkBytes: 0, read: readFrom(bytes, () => MIB) },
      () => undefined,
    )
    expect(result.content).toHaveLength(12)
    expect(new Set(result.content).size).toBe(1)
    expect(saved.get(result.content[0] ?? '')?.equals(Buffer.alloc(512 * 1024))).toBe(true)
    expect(saved.size).toBe(1)
  })
})

describe('reading a file with holes', () => {
  it('gives its bytes, and asks the disk only for data', () => {
    const path = `${scratch}/sparse`
    const size = 50 * MIB + 1234
    makeSparse(path, size, [
      [0, noise(1, 10)],
      [7 * MIB + 1, noise(2, 3 * MIB)],
      [30 * MIB, noise(3, 1)],
      [size - 5, noise(4, 5)],
    ])
    const posix = openPosix()
    const expected = Buffer.alloc(size)
    for (const [at, bytes] of [
      [0, noise(1, 10)],
      [7 * MIB + 1, noise(2, 3 * MIB)],
      [30 * MIB, noise(3, 1)],
      [size - 5, noise(4, 5)],
    ] as const)
      bytes.copy(expected, at)
    const fd = openToRead(path)
    const read = readerOf(fd, kernel.memory, { posix, stat: fstatSync(fd, { bigint: true }) })
    let offset = 0
    for (let count = -1; count !== 0; offset += count) {
      count = read(1000, 700_001, offset)
      expect(kernel.memory.compare(expected, offset, offset + count, 1000, 1000 + count)).toBe(0)
    }
    expect(offset).toBe(size)
    closeSync(fd)
  })
})

describe('opening a file to read', () => {
  it('follows no link, waits for no pipe, and fails with the errno of the system', () => {
    symlinkSync('file', `${scratch}/link`)
    openPosix().mkfifo(Buffer.from(`${scratch}/pipe`), 0o600)
    expect(() => openToRead(`${scratch}/link`)).toThrow(expect.objectContaining({ code: 'ELOOP' }))
    expect(() => openToRead(`${scratch}/none`)).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    closeSync(openToRead(`${scratch}/pipe`))
  })
})
