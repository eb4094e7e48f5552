import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeIndexFile, encodeIndexFile } from './index-file.ts'
import { indexFile } from './samples.testing.ts'

const A = 'aa'.repeat(32)
const B = 'bb'.repeat(32)
const decode = (text: string) => decodeIndexFile(Buffer.from(text), 'index/x')
const refusal = (code: string, place: string) => expect.objectContaining({ code, place })

describe('index files', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(indexFile, (index) => {
        expect(decodeIndexFile(encodeIndexFile(index), 'index')).toEqual(index)
      }),
    )
  })

  it('mean the same in any layout of JSON', () => {
    fc.assert(
      fc.property(indexFile, fc.integer({ min: 1, max: 4 }), (index, indent) => {
        const plain: unknown = JSON.parse(encodeIndexFile(index).toString())
        expect(decode(JSON.stringify(plain, null, indent))).toEqual(index)
        expect(decode(JSON.stringify(reversedMembers(plain)))).toEqual(index)
      }),
    )
  })

  it('are written as restic writes them', () => {
    const blobs = [
      { type: 'data' as const, id: A, offset: 0, length: 40, uncompressedLength: 0 },
      { type: 'tree' as const, id: B, offset: 40, length: 50, uncompressedLength: 99 },
    ]
    expect(encodeIndexFile({ supersedes: [], packs: [{ id: B, blobs }] }).toString()).toBe(
      `{"packs":[{"id":"${B}","blobs":[{"id":"${A}","type":"data","offset":0,"length":40},` +
        `{"id":"${B}","type":"tree","offset":40,"length":50,"uncompressed_length":99}]}]}\n`,
    )
    expect(encodeIndexFile({ supersedes: [A], packs: [] }).toString()).toBe(
      `{"supersedes":["${A}"],"packs":[]}\n`,
    )
  })

  it('may hold members nobody knows', () => {
    const deep = `${'['.repeat(20)}{"k":"\\"]"}${']'.repeat(20)}`
    const text = `{"x":${deep},"packs":[{"time":"t","id":"${A}","n":[-1.5e3,true,null],"blobs":null}],"y":{}}`
    expect(decode(text)).toEqual({ supersedes: [], packs: [{ id: A, blobs: [] }] })
  })

  const blob = (members: string) => `{"packs":[{"id":"${A}","blobs":[{${members}}]}]}`
  it.each([
    ['no packs', '{}', 'Damaged', 'index/x#/packs'],
    ['packs twice', '{"packs":[],"packs":[]}', 'Damaged', 'index/x@20'],
    ['a pack without id', '{"packs":[{"blobs":[]}]}', 'Damaged', 'index/x@11'],
    ['an id in capitals', `{"packs":[{"id":"${'A'.repeat(64)}","blobs":[]}]}`, 'Damaged', 'index/x@17'],
    ['an id too short', `{"packs":[{"id":"${'a'.repeat(63)}","blobs":[]}]}`, 'Damaged', 'index/x@17'],
    ['a blob without type', blob(`"id":"${A}","offset":0,"length":40`), 'Damaged', 'index/x@92'],
    ['an unknown type', blob(`"id":"${A}","type":"meta","offset":0,"length":40`), 'Damaged', 'index/x@172'],
    [
      'a negative offset',
      blob(`"id":"${A}","type":"data","offset":-1,"length":40`),
      'Damaged',
      'index/x@188',
    ],
    ['a fraction', blob(`"id":"${A}","type":"data","offset":1.5,"length":40`), 'Damaged', 'index/x@188'],
    ['a short blob', blob(`"id":"${A}","type":"data","offset":0,"length":31`), 'Damaged', 'index/x@92'],
    [
      'a pack over 4 GiB',
      blob(`"id":"${A}","type":"data","offset":4294967290,"length":40`),
      'Damaged',
      'index/x@92',
    ],
    [
      'a huge offset',
      blob(`"id":"${A}","type":"data","offset":${'9'.repeat(400)}`),
      'LimitExceeded',
      'index/x@188',
    ],
    ['text after its end', '{"packs":[]} x', 'Damaged', 'index/x@13'],
    ['a comma too many', '{"packs":[],}', 'Damaged', 'index/x@12'],
    ['deep nesting', `{"x":${'['.repeat(100_000)}`, 'LimitExceeded', 'index/x@70'],
  ])('with %s are refused with the place', (_what, text, code, place) => {
    expect(() => decode(text)).toThrow(refusal(code, place))
  })
})

/** The same value with the members of every object in the opposite order. */
function reversedMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversedMembers)
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([key, inner]) => [key, reversedMembers(inner)] as const)
  return Object.fromEntries(members.reverse())
}
