import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinCompressed, splitUnpacked, zstdContentSize } from './unpacked.ts'

const refusal = (code: string) => expect.objectContaining({ code })

describe('splitUnpacked', () => {
  it.each(['{"a":1}', '[]'])('takes %s as JSON', (text) => {
    const plain = Buffer.from(text)
    expect(splitUnpacked(plain, 'f')).toEqual({ kind: 'json', json: plain })
  })

  it('finds the frame that joinCompressed marked', () => {
    const frame = zstdCompressSync(Buffer.from('{"a":1}'))
    const parts = splitUnpacked(joinCompressed(frame), 'f')
    expect(parts.kind === 'zstd' && frame.equals(parts.frame)).toBe(true)
  })

  it('refuses every other first byte', () => {
    expect(() => splitUnpacked(Buffer.alloc(0), 'f')).toThrow(refusal('Damaged'))
    for (let byte = 0; byte < 256; byte++) {
      if (byte === 2 || byte === 0x7b || byte === 0x5b) continue
      expect(() => splitUnpacked(Buffer.of(byte), 'f')).toThrow(refusal('UnsupportedFormat'))
    }
  })
})

describe('zstdContentSize', () => {
  it.each([0, 1, 255, 256, 65_791, 65_792, 1_000_000])('knows the size of %d compressed bytes', (size) => {
    expect(zstdContentSize(zstdCompressSync(Buffer.alloc(size)), 'f', 1e9)).toBe(size)
  })

  it('refuses a frame that declares more than the bound', () => {
    const frame = zstdCompressSync(Buffer.alloc(1000))
    expect(() => zstdContentSize(frame, 'f', 999)).toThrow(refusal('LimitExceeded'))
    const huge = Buffer.from('28b52ffde0ffffffffffffffff', 'hex')
    expect(() => zstdContentSize(huge, 'f', 2 ** 40)).toThrow(refusal('LimitExceeded'))
  })

  it('throws nothing but HoldfastError on any bytes', () => {
    const start = Buffer.from('28b52ffd', 'hex')
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 16 }), fc.boolean(), (bytes, framed) => {
        try {
          const size = zstdContentSize(framed ? Buffer.concat([start, bytes]) : bytes, 'f', 1000)
          expect(size === undefined || size <= 1000).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ name: 'HoldfastError' })
        }
      }),
      { numRuns: 1000 },
    )
  })
})
