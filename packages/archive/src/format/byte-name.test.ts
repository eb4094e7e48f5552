import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareNames, hasRawBytes, nameFromBytes, nameToBytes } from './byte-name.ts'

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 20 }).map((s) => new Uint8Array(Buffer.from(s, 'utf8'))),
  fc
    .tuple(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.uint8Array({ maxLength: 6 }))
    .map(([s, raw]) => new Uint8Array(Buffer.concat([Buffer.from(s, 'utf8'), raw]))),
)

describe('file names as strings', () => {
  it('keep every byte sequence', () => {
    fc.assert(
      fc.property(bytes, (b) => nameToBytes(nameFromBytes(b)).equals(b)),
      { numRuns: 2000 },
    )
  })

  it('are plain strings when the bytes are UTF-8', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (s) => nameFromBytes(Buffer.from(s, 'utf8')) === s))
  })

  it.each([
    ['a stray byte', [0x61, 0xff, 0x62], 'a\udcffb'],
    ['a truncated sequence', [0xe2, 0x82], '\udce2\udc82'],
    ['an encoded surrogate', [0xed, 0xa0, 0x80], '\udced\udca0\udc80'],
    ['an overlong slash', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['a point past U+10FFFF', [0xf4, 0x90, 0x80, 0x80], '\udcf4\udc90\udc80\udc80'],
    ['valid text after a stray byte', [0x80, 0xc3, 0xa9], '\udc80é'],
  ])('escape each byte of %s', (_what, raw, name) => {
    expect(nameFromBytes(Uint8Array.from(raw))).toBe(name)
    expect(hasRawBytes(name)).toBe(true)
  })

  it('take a low surrogate that belongs to a pair as part of its character', () => {
    const skull = '\u{1f480}'
    expect(skull.charCodeAt(1)).toBe(0xdc80)
    expect(nameToBytes(skull)).toEqual(Buffer.from('f09f9280', 'hex'))
  })

  it('replace a surrogate that no file name yields', () => {
    expect(nameToBytes('a\ud800b').toString('utf8')).toBe('a\ufffdb')
  })
})

describe('compareNames', () => {
  it('orders as the bytes do', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const order = compareNames(nameFromBytes(a), nameFromBytes(b))
        return Math.sign(order) === Math.sign(Buffer.compare(a, b))
      }),
      { numRuns: 3000 },
    )
  })

  it('puts U+FFFF before U+10000, which a plain sort does not', () => {
    expect(['\uffff', '\u{10000}'].toSorted()).toEqual(['\u{10000}', '\uffff'])
    expect(compareNames('\uffff', '\u{10000}')).toBeLessThan(0)
  })

  it('puts a raw byte 0x80 before any character past ASCII', () => {
    expect(compareNames('\udc80', '\u0080')).toBeLessThan(0)
  })
})
