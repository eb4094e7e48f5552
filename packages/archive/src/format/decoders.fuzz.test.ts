import { HoldfastError } from '@holdfast/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeConfig, encodeConfig } from './config.ts'
import { decodeIndexFile, encodeIndexFile } from './index-file.ts'
import { decodeKeyFile, decodeMasterKey, encodeKeyFile, encodeMasterKey } from './key-file.ts'
import { decodeLockFile, encodeLockFile } from './lock-file.ts'
import { decodePackHeader, encodePackHeader } from './pack-header.ts'
import { hexId, indexFile, packedBlobs, snapshot, treeNodes } from './samples.testing.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'
import { decodeTree, encodeNode, encodeTree } from './tree.ts'

const time = '2024-05-06T07:08:09.1Z'

interface Format {
  readonly name: string
  readonly valid: fc.Arbitrary<Buffer>
  /** Decodes, and encodes what came of it: a value that cannot be written again is not valid. */
  readonly decode: (bytes: Uint8Array, place: string) => Buffer
}

const formats: readonly Format[] = [
  {
    name: 'pack header',
    valid: packedBlobs.map(encodePackHeader),
    decode: (bytes, place) => encodePackHeader(decodePackHeader(bytes, place)),
  },
  {
    name: 'index',
    valid: indexFile.map(encodeIndexFile),
    decode: (bytes, place) => encodeIndexFile(decodeIndexFile(bytes, place)),
  },
  {
    name: 'tree',
    valid: treeNodes.map((nodes) => encodeTree(nodes.map(encodeNode))),
    decode: (bytes, place) => encodeTree(decodeTree(bytes, place).map(encodeNode)),
  },
  {
    name: 'snapshot',
    valid: snapshot.map(encodeSnapshot),
    decode: (bytes, place) => encodeSnapshot(decodeSnapshot(bytes, place)),
  },
  {
    name: 'config',
    valid: hexId.map((id) => encodeConfig({ version: 2, id, chunkerPolynomial: 0x25b468838dcb75n })),
    decode: (bytes, place) => encodeConfig(decodeConfig(bytes, place)),
  },
  {
    name: 'key file',
    valid: fc.uint8Array({ minLength: 32, maxLength: 64 }).map((bytes) => {
      const cost = { kdf: 'scrypt', N: 1024, r: 8, p: 1 } as const
      const secret = { salt: Buffer.from(bytes), data: Buffer.from(bytes) }
      return encodeKeyFile({ created: time, username: 'u', hostname: 'h', ...cost, ...secret })
    }),
    decode: (bytes, place) => encodeKeyFile(decodeKeyFile(bytes, place)),
  },
  {
    name: 'master key',
    valid: fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((bytes) => Buffer.from(bytes))
      .map((b) => encodeMasterKey({ encrypt: b, macK: b.subarray(0, 16), macR: b.subarray(16) })),
    decode: (bytes, place) => encodeMasterKey(decodeMasterKey(bytes, place)),
  },
  {
    name: 'lock',
    valid: fc
      .string({ maxLength: 10 })
      .map((hostname) =>
        encodeLockFile({ time, exclusive: true, hostname, username: 'u', pid: 1, uid: 0, gid: 5 }),
      ),
    decode: (bytes, place) => encodeLockFile(decodeLockFile(bytes, place)),
  },
]

const punctuation = ['{', '}', '[', ']', ',', ':', '"', '\\', ' ', '\0', '\xff']
const values = ['null', 'true', '-', '1e999', '1e3', '0.5', '9007199254740993', '18446744073709551616']
const members = ['"__proto__":1,', '"constructor":{},', '\\u0000', '\\ud800']
const tokens = fc.constantFrom(...punctuation, ...values, ...members)

/** What a mutation does to valid bytes: cut, overwrite, insert, repeat. */
const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.nat({ max: 40 }),
  kind: fc.constantFrom('cut', 'drop', 'overwrite', 'insert', 'repeat', 'flip'),
  token: tokens,
  bit: fc.nat({ max: 7 }),
})

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never

function mutate(bytes: Buffer, { at, length, kind, token, bit }: Mutation): Buffer {
  const from = Math.floor(at * bytes.length)
  const before = bytes.subarray(0, from)
  const after = bytes.subarray(from)
  const text = Buffer.from(token, 'latin1')
  if (kind === 'cut') return before
  if (kind === 'drop') return Buffer.concat([before, after.subarray(length)])
  if (kind === 'overwrite') return Buffer.concat([before, text, after.subarray(text.length)])
  if (kind === 'insert') return Buffer.concat([before, text, after])
  if (kind === 'repeat') return Buffer.concat([before, after.subarray(0, length), after])
  const flipped = Buffer.from(bytes)
  if (from < flipped.length) flipped[from] = (flipped[from] ?? 0) ^ (1 << bit)
  return flipped
}

/** Either the bytes of a valid value, which decode to themselves again, or a refusal with its place. */
function decodesOrRefuses(format: Format, bytes: Uint8Array): void {
  let once: Buffer
  try {
    once = format.decode(bytes, 'the place')
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error
    expect(['Damaged', 'UnsupportedFormat', 'LimitExceeded']).toContain(error.code)
    expect(error.place).toMatch(/^the place/)
    expect(error.message.length).toBeLessThan(500)
    return
  }
  expect(format.decode(once, 'the place')).toEqual(once)
}

describe.each(formats)('the decoder of a $name', (format) => {
  it('decodes or refuses arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => decodesOrRefuses(format, bytes)),
      { numRuns: 500 },
    )
  })

  it('decodes or refuses arbitrary JSON', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => decodesOrRefuses(format, Buffer.from(text))),
      { numRuns: 500 },
    )
  })

  it('decodes or refuses JSON tokens in any order', () => {
    fc.assert(
      fc.property(fc.array(tokens, { maxLength: 40 }), (list) => {
        decodesOrRefuses(format, Buffer.from(`{${list.join('')}`, 'latin1'))
      }),
      { numRuns: 500 },
    )
  })

  it('decodes or refuses a valid document with mutations', () => {
    fc.assert(
      fc.property(format.valid, fc.array(mutation, { minLength: 1, maxLength: 4 }), (valid, mutations) => {
        decodesOrRefuses(format, mutations.reduce(mutate, valid))
      }),
      { numRuns: 2000 },
    )
  })

  it('refuses a document with a value of another kind', () => {
    fc.assert(
      fc.property(format.valid, fc.nat(), fc.jsonValue({ maxDepth: 2 }), (valid, which, value) => {
        if (format.name === 'pack header') return
        decodesOrRefuses(format, replaceOneValue(valid, which, value))
      }),
      { numRuns: 1000 },
    )
  })
})

/** The document with the value of one member, at any depth, replaced. */
function replaceOneValue(valid: Buffer, which: number, value: unknown): Buffer {
  const document: unknown = JSON.parse(valid.toString('utf8'))
  const spots: { readonly holder: Record<string, unknown>; readonly key: string }[] = []
  const visit = (holder: unknown): void => {
    if (typeof holder !== 'object' || holder === null) return
    for (const key of Object.keys(holder)) {
      spots.push({ holder: holder as Record<string, unknown>, key })
      visit((holder as Record<string, unknown>)[key])
    }
  }
  visit(document)
  const spot = spots[which % Math.max(1, spots.length)]
  if (spot !== undefined) spot.holder[spot.key] = value
  return Buffer.from(JSON.stringify(document))
}
