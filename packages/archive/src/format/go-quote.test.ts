import { createHash } from 'node:crypto'
import { isHoldfastError } from '@holdfast/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nameFromBytes } from './byte-name.ts'
import { goJsonString } from './go-json.ts'
import { goQuoteName, goUnquoteName } from './go-quote.ts'

describe('goQuoteName', () => {
  it('treats every code point as Go 1.26 does', () => {
    const all = createHash('sha256')
    for (let point = 0; point < 0x110000; point++) {
      if (point >= 0xd800 && point < 0xe000) continue
      all.update(`${goJsonString(goQuoteName(String.fromCodePoint(point)))}\n`)
    }
    // SHA-256 of json.Marshal(body of strconv.Quote(string(r))) + "\n" for every rune r, by go1.26.8.
    expect(all.digest('hex')).toBe('d8f903cee8ba012ae67d3052a4d8cee9df4bd31feff403baf0b0b076c8073ce4')
  })

  it.each([
    ['a"b', 'a\\"b'],
    ['back\\slash', 'back\\\\slash'],
    ['\u0007\b\f\n\r\t\v', '\\a\\b\\f\\n\\r\\t\\v'],
    ['\u0001\u007f', '\\x01\\x7f'],
    ['\u00a0\u00ad\u2028', '\\u00a0\\u00ad\\u2028'],
    ['\u{e0001}', '\\U000e0001'],
    ['\udc80\udcff', '\\x80\\xff'],
    ['é😀', 'é😀'],
  ])('writes %j as %j', (name, quoted) => {
    expect(goQuoteName(name)).toBe(quoted)
    expect(goUnquoteName(quoted)).toBe(name)
  })

  it('sees escaped bytes that form a character as that character', () => {
    expect(goQuoteName('\udcc3\udca9')).toBe('é')
  })

  it('is undone by goUnquoteName for every byte sequence', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (raw) => {
        const name = nameFromBytes(raw)
        return goUnquoteName(goQuoteName(name)) === name
      }),
      { numRuns: 2000 },
    )
  })
})

describe('goUnquoteName', () => {
  it.each([
    ['\\303\\251', 'é'],
    ['\\xc3\\xa9', 'é'],
    ['\\u00e9\\U0001F600', 'é😀'],
    ['\\377', '\udcff'],
  ])('reads the escapes Go knows but does not write: %j', (quoted, name) => {
    expect(goUnquoteName(quoted)).toBe(name)
  })

  it.each([
    '\\',
    'a"b',
    'a\nb',
    '\\q',
    '\\x1',
    '\\xg0',
    '\\u12',
    '\\ud800',
    '\\U00110000',
    '\\400',
    '\\08',
    "\\'",
  ])('refuses %j as Damaged', (quoted) => {
    let caught: unknown
    try {
      goUnquoteName(quoted)
    } catch (error) {
      caught = error
    }
    expect(isHoldfastError(caught, 'Damaged')).toBe(true)
  })
})
