import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeUnknownJson, goJsonString } from './go-json.ts'

describe('goJsonString', () => {
  it('escapes every code point as Go 1.26 does', () => {
    const all = createHash('sha256')
    for (let point = 0; point < 0x110000; point++) {
      if (point < 0xd800 || point >= 0xe000) all.update(`${goJsonString(String.fromCodePoint(point))}\n`)
    }
    // SHA-256 of json.Marshal(string(r)) + "\n" for every rune r, by go1.26.8.
    expect(all.digest('hex')).toBe('8cc3f3082efcb813aef0c6ff4a7876a16da11eca2687ff36b185cee6c22b719a')
  })

  it('is read back by JSON.parse', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (s) => JSON.parse(goJsonString(s)) === s))
  })

  it('writes each byte that is not UTF-8 as the six characters Go writes', () => {
    expect(goJsonString('a\udc80\udcffb')).toBe('"a\\ufffd\\ufffdb"')
  })
})

describe('encodeUnknownJson', () => {
  it('writes big integers as integers and escapes as Go does', () => {
    expect(encodeUnknownJson({ a: 18446744073709551615n, '<': ['&', null] })).toBe(
      '{"a":18446744073709551615,"\\u003c":["\\u0026",null]}',
    )
  })
})
