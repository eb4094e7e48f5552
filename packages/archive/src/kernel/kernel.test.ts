import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { KERNEL_HEAP, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, openKernel } from './kernel.ts'
import { degree, isIrreducible, modulo, randomPolynomial } from './polynomial.ts'

// The polynomial of restic's own chunker tests.
const POLYNOMIAL = 0x3da3358b4dc173n

/** The chunker as its definition reads: byte by byte, 64-byte window, one big number. */
function cutsByDefinition(bytes: Buffer, polynomial: bigint): number[] {
  const cuts: number[] = []
  const leave = Array.from({ length: 256 }, (_, b) => modulo(BigInt(b) << 504n, polynomial))
  let start = 0
  while (start < bytes.length) {
    const end = Math.min(bytes.length, start + MAX_CHUNK_BYTES)
    let digest = 0n
    let cut = end
    for (let i = start + MIN_CHUNK_BYTES - 64; i < end; i++) {
      const old = i - start - MIN_CHUNK_BYTES >= 0 ? (bytes[i - 64] ?? 0) : 0
      digest = modulo(((digest ^ (leave[old] ?? 0n)) << 8n) | BigInt(bytes[i] ?? 0), polynomial)
      if (i - start + 1 >= MIN_CHUNK_BYTES && (digest & 0xfffffn) === 0n) {
        cut = i + 1
        break
      }
    }
    cuts.push(cut - start)
    start = cut
  }
  return cuts
}

/** As a reader does: data comes in pieces, the scanned part is not scanned again. */
function cutsByKernel(bytes: Buffer, polynomial: bigint, piece: number): number[] {
  const kernel = openKernel(bytes.length, polynomial)
  const cuts: number[] = []
  let start = 0
  let seen = 0
  for (let have = 0; start < bytes.length; ) {
    const count = Math.min(piece, bytes.length - have)
    bytes.copy(kernel.memory, KERNEL_HEAP + have, have, have + count)
    have += count
    for (;;) {
      const length = kernel.nextCut(KERNEL_HEAP + start, KERNEL_HEAP + have, seen)
      if (length === 0) break
      cuts.push(length)
      start += length
      seen = 0
    }
    seen = have - start
    if (have === bytes.length && start < have) {
      cuts.push(have - start)
      break
    }
  }
  return cuts
}

describe('the chunker', () => {
  it('cuts where the definition says, however the data arrives', () => {
    const bytes = randomBytes(5 * 1024 * 1024 + 12_345)
    const expected = cutsByDefinition(bytes, POLYNOMIAL)
    expect(expected.length).toBeGreaterThan(2)
    for (const piece of [bytes.length, 1024 * 1024, 100_003])
      expect(cutsByKernel(bytes, POLYNOMIAL, piece)).toEqual(expected)
  })

  it('cuts zeros at the minimum and never passes the maximum', () => {
    expect(cutsByKernel(Buffer.alloc(2 * 1024 * 1024), POLYNOMIAL, 1 << 20)).toEqual([
      524288, 524288, 524288, 524288,
    ])
    // ones have a constant digest that is not a cut
    const ones = Buffer.alloc(MAX_CHUNK_BYTES + 1000, 0xff)
    expect(cutsByKernel(ones, POLYNOMIAL, 1 << 20)[0]).toBe(MAX_CHUNK_BYTES)
  })

  it('finds the same cuts after bytes were inserted before them', () => {
    const bytes = randomBytes(6 * 1024 * 1024)
    const ends = (cuts: readonly number[], shift: number): number[] =>
      cuts.map((_, i) => cuts.slice(0, i + 1).reduce((a, b) => a + b) - shift)
    const before = ends(cutsByKernel(bytes, POLYNOMIAL, 1 << 20), 0)
    const after = ends(cutsByKernel(Buffer.concat([randomBytes(777), bytes]), POLYNOMIAL, 1 << 20), 777)
    expect(before.filter((end) => after.includes(end)).length).toBeGreaterThanOrEqual(before.length - 2)
  })
})

describe('a chunker polynomial', () => {
  it('is irreducible, of degree 53, and not always the same', () => {
    const made = Array.from({ length: 5 }, randomPolynomial)
    for (const polynomial of made) {
      expect(degree(polynomial)).toBe(53)
      expect(isIrreducible(polynomial)).toBe(true)
    }
    expect(new Set(made).size).toBe(5)
  })

  it('is refused when it has a factor', () => {
    expect(isIrreducible(POLYNOMIAL)).toBe(true)
    expect(isIrreducible(POLYNOMIAL ^ 1n)).toBe(false)
    expect(isIrreducible(0b101n)).toBe(false)
    expect(isIrreducible(0b111n)).toBe(true)
  })
})
