import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import { sha256Hex } from '../format/ids.ts'
import { type BlobType, decodePackHeader, SEAL_OVERHEAD } from '../format/pack-header.ts'
import { randomMasterKey } from '../repository/master-key.ts'
import { createPackBuilder, createVerifier, type FinishedPack, type PackBuilder } from './pack-builder.ts'
import { openPrimitives, type Primitives } from './primitives.ts'
import { fc, test } from './property.testing.ts'
import { openSealer, type Sealer } from './sealer.ts'

const masterKey = randomMasterKey()
const primitives = openPrimitives({ level: 2 })
const sealer = openSealer(masterKey, primitives)
const random = seededRandom(1)

interface Options {
  readonly type?: BlobType
  readonly compress?: boolean
  readonly packBytes?: number
  readonly verify?: ReturnType<typeof createVerifier>
}
const builderOf = (options: Options = {}): PackBuilder =>
  createPackBuilder({ type: 'data', primitives, sealer, compress: true, verify: undefined, ...options })

/** Reads a pack as a stranger would, who has only its bytes and the key. */
function readPack(pack: FinishedPack): Map<string, Buffer> {
  const { bytes } = pack
  expect(pack.id).toBe(sha256Hex(bytes))
  const headerLength = Buffer.from(bytes).readUInt32LE(bytes.length - 4)
  const header = Buffer.alloc(headerLength - SEAL_OVERHEAD)
  sealer.open(bytes.subarray(bytes.length - 4 - headerLength, bytes.length - 4), header)
  const blobs = decodePackHeader(header, 'test')
  expect(blobs).toEqual(pack.blobs)
  const plains = blobs.map(({ id, offset, length, uncompressedLength }) => {
    const opened = Buffer.alloc(length - SEAL_OVERHEAD)
    sealer.open(bytes.subarray(offset, offset + length), opened)
    if (uncompressedLength === 0) return [id, opened] as const
    const plain = Buffer.alloc(uncompressedLength)
    expect(primitives.decompress(opened, plain)).toBe(uncompressedLength)
    return [id, plain] as const
  })
  return new Map(plains)
}

describe('a pack', () => {
  test(
    'holds what was added to it, readable from its bytes alone',
    fc.record({
      blobs: fc.uniqueArray(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, selector: (b) => b.join() }),
      compress: fc.boolean(),
      type: fc.constantFrom<BlobType>('data', 'tree'),
    }),
    ({ blobs, compress, type }) => {
      const builder = builderOf({ type, compress, verify: createVerifier(primitives, sealer) })
      const lengths = blobs.map((blob) => builder.add(sha256Hex(blob), blob))
      expect(builder).toMatchObject({ count: blobs.length, size: lengths.reduce((a, b) => a + b, 0) })
      const pack = builder.finish()
      if (pack === undefined) return expect.unreachable()
      expect(readPack(pack)).toEqual(new Map(blobs.map((blob) => [sha256Hex(blob), Buffer.from(blob)])))
      expect(pack.blobs.every((blob) => blob.type === type)).toBe(true)
      expect(builder).toMatchObject({ count: 0, size: 0 })
      expect(builder.finish()).toBeUndefined()
    },
  )

  it('stores a blob as it is when compressing it does not help, and when told not to', () => {
    const noise = random.bytes(5000)
    const text = Buffer.from('again and '.repeat(500))
    const blobs = (compress: boolean): readonly number[] => {
      const builder = builderOf({ compress })
      for (const plain of [noise, text]) builder.add(sha256Hex(plain), plain)
      return builder.finish()?.blobs.map((blob) => blob.uncompressedLength) ?? []
    }
    expect(blobs(true)).toEqual([0, 5000])
    expect(blobs(false)).toEqual([0, 0])
  })

  it('is full when the next blob would pass its size, but takes one of any size alone', () => {
    const builder = builderOf({ packBytes: 10_000, compress: false })
    expect(builder.accepts(1_000_000)).toBe(true)
    const large = random.bytes(50_000)
    builder.add(sha256Hex(large), large)
    expect(builder.accepts(1)).toBe(false)
    const pack = builder.finish()
    if (pack !== undefined) expect(readPack(pack).get(sha256Hex(large))?.equals(large)).toBe(true)
    for (let i = 0; i < 3; i++) {
      expect(builder.accepts(3000)).toBe(true)
      const blob = random.bytes(3000)
      builder.add(sha256Hex(blob), blob)
    }
    expect(builder.accepts(10_000 - 3 * 3032 - SEAL_OVERHEAD)).toBe(true)
    expect(builder.accepts(10_000 - 3 * 3032 - SEAL_OVERHEAD + 1)).toBe(false)
  })

  it('is full at 32,768 blobs, however small', () => {
    const builder = builderOf({ compress: false })
    const sealed = new Uint8Array(SEAL_OVERHEAD)
    for (let i = 0; i < 32_768; i++) {
      if (!builder.accepts(0)) expect.unreachable(`full at ${i}`)
      builder.addSealed(sha256Hex(Buffer.from(`${i}`)), sealed, 0)
    }
    expect(builder.accepts(0)).toBe(false)
    const pack = builder.finish()
    // room for the header was kept
    expect(pack?.blobs).toHaveLength(32_768)
  })

  it('can be moved into another one, sealed as it is', () => {
    const [from, to] = [builderOf(), builderOf()]
    const blobs = Array.from({ length: 6 }, () => random.bytes(1000))
    for (const [i, blob] of blobs.entries()) (i % 2 === 0 ? from : to).add(sha256Hex(blob), blob)
    from.moveInto(to)
    expect(from).toMatchObject({ count: 0, size: 0 })
    expect(from.finish()).toBeUndefined()
    const pack = to.finish()
    if (pack === undefined) return expect.unreachable()
    expect(readPack(pack)).toEqual(
      new Map(
        [1, 3, 5, 0, 2, 4].map((i) => {
          const blob = blobs[i] ?? Buffer.alloc(0)
          return [sha256Hex(blob), blob]
        }),
      ),
    )
  })

  it('keeps its bytes when its memory was given away', () => {
    const builder = builderOf()
    const blob = random.bytes(1000)
    builder.add(sha256Hex(blob), blob)
    const first = builder.finish()
    builder.release()
    const other = random.bytes(1000)
    builder.add(sha256Hex(other), other)
    builder.finish()
    if (first === undefined) return expect.unreachable()
    expect([...readPack(first).keys()]).toEqual([sha256Hex(blob)])
  })
})

describe('the verifier', () => {
  const plain = Buffer.from('words that compress, words that compress, words that compress '.repeat(100))
  const id = sha256Hex(plain)
  const flip = (bytes: Uint8Array, at: number): void => {
    bytes[at] = (bytes[at] ?? 0) ^ 1
  }
  /** Adds the blob through machinery with one fault. */
  const addThrough = (fault: { primitives?: Partial<Primitives>; sealer?: Partial<Sealer> }): unknown => {
    const faulty = { ...primitives, ...fault.primitives }
    const builder = createPackBuilder({
      type: 'data',
      primitives: faulty,
      sealer: { ...sealer, ...fault.sealer },
      compress: true,
      verify: createVerifier(primitives, sealer),
    })
    try {
      builder.add(id, plain)
      return undefined
    } catch (error) {
      expect(builder.count).toBe(0)
      return error
    }
  }

  it('is content with what is right', () => expect(addThrough({})).toBeUndefined())

  it('catches bytes that changed between hashing and storing', () => {
    const builder = builderOf({ verify: createVerifier(primitives, sealer) })
    const changed = Buffer.from(plain)
    flip(changed, 100)
    expect(() => builder.add(id, changed)).toThrow(expect.objectContaining({ code: 'Damaged' }))
    expect(builder).toMatchObject({ count: 0, size: 0 })
    // the builder can go on
    builder.add(id, plain)
    expect(builder.finish()?.blobs).toHaveLength(1)
  })

  it.each([0, 1, 7, 40])('catches a compressor whose frame has a bit flipped in byte %i', (at) => {
    const compress = (src: Uint8Array, dst: Uint8Array): number => {
      const length = primitives.compress(src, dst)
      flip(dst, Math.min(at, length - 1))
      return length
    }
    expect(addThrough({ primitives: { compress } })).toMatchObject({ code: 'Damaged' })
  })

  it('catches a compressor that drops the end', () => {
    const compress = (src: Uint8Array, dst: Uint8Array): number =>
      primitives.compress(src.subarray(0, src.length - 1), dst)
    expect(addThrough({ primitives: { compress } })).toMatchObject({ code: 'Damaged' })
  })

  it.each([
    ['nonce', () => 3],
    ['ciphertext', () => 20],
    ['tag', (length: number) => length - 1],
  ])('catches a bit flipped in the %s', (_, where) => {
    const seal = (src: Uint8Array, dst: Uint8Array): number => {
      const length = sealer.seal(src, dst)
      flip(dst, where(length))
      return length
    }
    expect(addThrough({ sealer: { seal } })).toMatchObject({ code: 'Damaged' })
  })

  it('catches another blob under the name of this one', () => {
    const verify = createVerifier(primitives, sealer)
    const other = random.bytes(2_000_000)
    const sealed = Buffer.alloc(other.length + SEAL_OVERHEAD)
    sealer.seal(other, sealed)
    expect(() => verify(sha256Hex(other), sealed, 0)).not.toThrow()
    expect(() => verify(id, sealed, 0)).toThrow(expect.objectContaining({ code: 'Damaged' }))
  })
})
