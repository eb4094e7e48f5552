import { describe, expect, it } from 'vitest'
import { fc, test } from '../engine/property.testing.ts'
import { type Hex, sha256Hex } from '../format/ids.ts'
import { encodeIndexFile, type IndexPack } from '../format/index-file.ts'
import type { BlobType } from '../format/pack-header.ts'
import { type BlobIndex, type BlobLocation, createBlobIndex } from './blob-index.ts'

const hexOf = (text: string): Hex => sha256Hex(Buffer.from(text))

/** Few ids and packs, so that blobs repeat within packs, between packs and as both types. */
const packs: fc.Arbitrary<readonly IndexPack[]> = fc.array(
  fc
    .record({
      pack: fc.integer({ min: 0, max: 6 }),
      blobs: fc.array(
        fc.record({
          id: fc.integer({ min: 0, max: 25 }),
          tree: fc.boolean(),
          length: fc.integer({ min: 33, max: 100_000 }),
          compressed: fc.boolean(),
        }),
        { maxLength: 12 },
      ),
    })
    .map(({ pack, blobs }) => {
      let offset = 0
      return {
        id: hexOf(`pack ${pack}`),
        blobs: blobs.map(({ id, tree, length, compressed }) => {
          const type: BlobType = tree ? 'tree' : 'data'
          const uncompressedLength = compressed ? length * 3 : 0
          const blob = { type, id: hexOf(`blob ${id}`), offset, length, uncompressedLength }
          offset += length
          return blob
        }),
      }
    }),
  { maxLength: 15 },
)

interface Model {
  readonly copies: Map<string, BlobLocation[]>
  readonly packs: Map<Hex, Map<string, { type: BlobType; id: Hex } & Omit<BlobLocation, 'packId'>>>
}

function modelOf(added: readonly IndexPack[]): Model {
  const model: Model = { copies: new Map(), packs: new Map() }
  for (const pack of added) {
    const inPack = model.packs.get(pack.id) ?? new Map()
    model.packs.set(pack.id, inPack)
    for (const blob of pack.blobs) {
      const place = `${blob.type} ${blob.id} ${blob.offset}`
      if (inPack.has(place)) continue
      inPack.set(place, blob)
      const { offset, length, uncompressedLength } = blob
      const key = `${blob.type} ${blob.id}`
      const found = model.copies.get(key) ?? []
      model.copies.set(key, [...found, { packId: pack.id, offset, length, uncompressedLength }])
    }
  }
  return model
}

function expectSame(index: BlobIndex, model: Model): void {
  expect(index.size).toBe(model.copies.size)
  expect([...index.packs()]).toEqual([...model.packs.keys()])
  for (let id = 0; id <= 26; id++) {
    for (const type of ['data', 'tree'] as const) {
      const hex = hexOf(`blob ${id}`)
      const copies = model.copies.get(`${type} ${hex}`) ?? []
      expect(index.has(type, hex)).toBe(copies.length > 0)
      expect(index.find(type, hex)).toEqual(copies)
      const [first] = copies
      const plain = first === undefined ? undefined : first.uncompressedLength || first.length - 32
      expect(index.plainLength(type, hex)).toBe(plain)
    }
  }
  for (const [id, blobs] of model.packs) {
    expect(index.hasPack(id)).toBe(true)
    const byOffset = [...blobs.values()].sort((a, b) => a.offset - b.offset)
    expect(index.packBlobs(id).map((b) => b.offset)).toEqual(byOffset.map((b) => b.offset))
    expect(new Set(index.packBlobs(id).map((b) => JSON.stringify(b)))).toEqual(
      new Set(byOffset.map((b) => JSON.stringify(b))),
    )
  }
  let seen = 0
  index.each((type, id, location) => {
    seen++
    expect(model.copies.get(`${type} ${id}`)).toContainEqual(location)
  })
  expect(seen).toBe([...model.copies.values()].flat().length)
}

describe('a blob index', () => {
  test('answers as a map of lists does, whatever is added and however often', packs, (added) => {
    const index = createBlobIndex()
    for (const pack of added) index.addPack(pack)
    expectSame(index, modelOf(added))
  })

  test('says the same of packs read from index files', packs, (added) => {
    const index = createBlobIndex()
    // an index file names a pack once
    for (const [i, pack] of added.entries()) {
      index.readIndexFile(hexOf(`file ${i}`), encodeIndexFile({ supersedes: [], packs: [pack] }))
    }
    expectSame(index, modelOf(added))
    expect(index.indexFiles).toEqual(added.map((_, i) => hexOf(`file ${i}`)))
  })

  it('keeps every blob while it grows far past the size expected', () => {
    const index = createBlobIndex(1)
    const count = 20_000
    for (let p = 0; p < count / 100; p++) {
      const blobs = Array.from({ length: 100 }, (_, i) => ({
        type: i % 2 === 0 ? ('data' as const) : ('tree' as const),
        id: hexOf(`${p * 100 + i}`),
        offset: i * 50,
        length: 50,
        uncompressedLength: 0,
      }))
      index.addPack({ id: hexOf(`pack ${p}`), blobs })
      // copies must not get a place of their own in the table when it is rebuilt
      if (p > 0) index.addPack({ id: hexOf(`copy ${p}`), blobs: blobs.slice(0, 3) })
    }
    expect(index.size).toBe(count)
    for (let i = 0; i < count; i++) {
      const type = i % 2 === 0 ? 'data' : 'tree'
      const copies = i >= 100 && i % 100 < 3 ? 2 : 1
      const found = index.find(type, hexOf(`${i}`))
      expect(found.map((l) => l.offset)).toEqual(Array<number>(copies).fill((i % 100) * 50))
      expect(index.has(type === 'data' ? 'tree' : 'data', hexOf(`${i}`))).toBe(false)
    }
  })

  it('does not take an id of another length for the one asked for before', () => {
    const index = createBlobIndex()
    const id = hexOf('a')
    index.addPack({
      id: hexOf('p'),
      blobs: [{ type: 'data', id, offset: 0, length: 40, uncompressedLength: 0 }],
    })
    expect(index.has('data', id)).toBe(true)
    for (const other of ['', id.slice(0, 8), `${id}00`, `zz${id.slice(2)}`]) {
      expect(index.has('data', other)).toBe(false)
      expect(index.find('data', other)).toEqual([])
      expect(index.plainLength('data', other)).toBeUndefined()
    }
  })

  it('lists the ids of one type as bytes, once for each copy', () => {
    const index = createBlobIndex()
    const blob = (type: BlobType, text: string, offset: number) => ({
      type,
      id: hexOf(text),
      offset,
      length: 40,
      uncompressedLength: 0,
    })
    index.addPack({
      id: hexOf('p'),
      blobs: [blob('data', 'a', 0), blob('tree', 'a', 40), blob('tree', 'b', 80)],
    })
    const ids = { data: [] as string[], tree: [] as string[] }
    for (const type of ['data', 'tree'] as const)
      index.eachId(type, (id) => ids[type].push(Buffer.from(id).toString('hex')))
    expect(ids).toEqual({ data: [hexOf('a')], tree: [hexOf('a'), hexOf('b')] })
  })
})
