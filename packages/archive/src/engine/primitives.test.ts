import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { openNativePrimitives } from './native-primitives.ts'
import { openPortablePrimitives } from './portable-primitives.ts'
import { openPrimitives, type Primitives } from './primitives.ts'
import { fc, test } from './property.testing.ts'

const native = openNativePrimitives(2)
const implementations: readonly (readonly [string, Primitives])[] = [
  ['portable', openPortablePrimitives(2)],
  ...(native === undefined ? [] : [['native', native] as const]),
]

describe('native primitives', () => {
  it('work on the node this project locks', () => {
    expect(openPrimitives().kind).toBe('native')
    expect(openPrimitives({ portable: true }).kind).toBe('portable')
  })
})

describe.each(implementations)('%s primitives', (_, primitives) => {
  it('compute the Poly1305 tag of RFC 8439, section 2.5.2', () => {
    const key = Buffer.from('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b', 'hex')
    const tag = Buffer.alloc(16)
    primitives.poly1305(key, Buffer.from('Cryptographic Forum Research Group'), tag)
    expect(tag.toString('hex')).toBe('a8061dc1305136c6c22b8baf0c0127a9')
  })

  it('reduce fully where the accumulator passes 2^130 - 5 (RFC 8439, appendix A.3, vectors 7 to 11)', () => {
    const vectors = [
      [
        '0200000000000000000000000000000000000000000000000000000000000000',
        'ff'.repeat(16),
        `03${'00'.repeat(15)}`,
      ],
      [`02${'00'.repeat(15)}${'ff'.repeat(16)}`, `02${'00'.repeat(15)}`, `03${'00'.repeat(15)}`],
      [
        `01${'00'.repeat(31)}`,
        `${'ff'.repeat(16)}f0${'ff'.repeat(15)}11${'00'.repeat(15)}`,
        `05${'00'.repeat(15)}`,
      ],
      [`01${'00'.repeat(31)}`, `${'ff'.repeat(16)}fb${'fe'.repeat(15)}${'01'.repeat(16)}`, '00'.repeat(16)],
      [`02${'00'.repeat(31)}`, `fd${'ff'.repeat(15)}`, `fa${'ff'.repeat(15)}`],
    ] as const
    for (const [key, message, expected] of vectors) {
      const tag = Buffer.alloc(16)
      primitives.poly1305(Buffer.from(key, 'hex'), Buffer.from(message, 'hex'), tag)
      expect(tag.toString('hex')).toBe(expected)
    }
  })

  test('hash and encrypt as node:crypto does', fc.uint8Array({ maxLength: 5000 }), (message) => {
    const hash = Buffer.alloc(32)
    primitives.sha256(message, hash)
    expect(hash).toEqual(createHash('sha256').update(message).digest())
    for (const keyBytes of [16, 32]) {
      const key = randomBytes(keyBytes)
      const iv = randomBytes(16)
      const target = Buffer.alloc(message.length)
      primitives.aesCtr(key, iv, message, target)
      expect(target).toEqual(createCipheriv(`aes-${keyBytes * 8}-ctr`, key, iv).update(message))
    }
  })

  it('keep two keys apart that are used in turn', () => {
    const keys = [randomBytes(32), randomBytes(32)]
    const message = randomBytes(100)
    for (const key of [...keys, ...keys]) {
      const iv = randomBytes(16)
      const target = Buffer.alloc(100)
      primitives.aesCtr(key, iv, message, target)
      expect(target).toEqual(createCipheriv('aes-256-ctr', key, iv).update(message))
    }
  })

  test(
    'compress into frames node:zlib reads, and read its frames',
    fc.string({ maxLength: 3000 }),
    (text) => {
      const message = Buffer.from(text.repeat(20))
      const frame = Buffer.alloc(message.length + 1000)
      const length = primitives.compress(message, frame)
      expect(zstdDecompressSync(frame.subarray(0, length))).toEqual(message)
      const plain = Buffer.alloc(message.length)
      expect(primitives.decompress(zstdCompressSync(message), plain)).toBe(message.length)
      expect(plain).toEqual(message)
    },
  )

  it('say 0 when a frame does not fit, and refuse to overflow when decoding', () => {
    const noise = randomBytes(10_000)
    expect(primitives.compress(noise, Buffer.alloc(noise.length - 1))).toBe(0)
    const frame = zstdCompressSync(Buffer.alloc(10_000))
    expect(() => primitives.decompress(frame, Buffer.alloc(9_999))).toThrow(/does not decode/)
    expect(() => primitives.decompress(randomBytes(50), Buffer.alloc(100))).toThrow(/does not decode/)
  })
})
