import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { SEAL_OVERHEAD } from '../format/pack-header.ts'
import { randomMasterKey } from '../repository/master-key.ts'
import { openPrimitives } from './primitives.ts'
import { openSealer } from './sealer.ts'

const key = randomMasterKey()
const sealer = openSealer(key, openPrimitives())
const portable = openSealer(key, openPrimitives({ portable: true }))

describe('a sealer', () => {
  it.each([0, 1, 15, 16, 17, 1000, 70_000])('opens what it sealed, %i bytes', (length) => {
    const plain = randomBytes(length)
    const sealed = Buffer.alloc(length + SEAL_OVERHEAD)
    expect(sealer.seal(plain, sealed)).toBe(length + SEAL_OVERHEAD)
    const opened = Buffer.alloc(length)
    expect(portable.open(sealed, opened)).toBe(length)
    expect(opened).toEqual(plain)
  })

  it('seals in place, with the plain text 16 bytes into the target', () => {
    const memory = Buffer.alloc(132)
    const plain = randomBytes(100)
    memory.set(plain, 16)
    sealer.seal(memory.subarray(16, 116), memory)
    const opened = Buffer.alloc(100)
    sealer.open(memory, opened)
    expect(opened).toEqual(plain)
  })

  it('never seals the same text to the same bytes', () => {
    const sealed = Array.from({ length: 3000 }, () => {
      const target = Buffer.alloc(SEAL_OVERHEAD + 4)
      sealer.seal(Buffer.from('same'), target)
      return target.subarray(0, 16).toString('hex')
    })
    expect(new Set(sealed).size).toBe(3000)
  })

  it('refuses every single flipped bit and leaves the target alone', () => {
    const sealed = Buffer.alloc(40 + SEAL_OVERHEAD)
    sealer.seal(randomBytes(40), sealed)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = Buffer.from(sealed)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const target = Buffer.alloc(40, 0x55)
      expect(() => sealer.open(flipped, target)).toThrow(/verification failed/)
      expect(target.every((byte) => byte === 0x55)).toBe(true)
    }
  })

  it('refuses bytes too short to be sealed, and another key', () => {
    expect(() => sealer.open(Buffer.alloc(31), Buffer.alloc(0))).toThrow(/shorter/)
    const sealed = Buffer.alloc(SEAL_OVERHEAD + 3)
    sealer.seal(Buffer.from('abc'), sealed)
    expect(() => openSealer(randomMasterKey(), openPrimitives()).open(sealed, Buffer.alloc(3))).toThrow(
      /verification failed/,
    )
  })
})
