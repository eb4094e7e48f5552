import { describe, expect, it } from 'vitest'
import { cheapRepository } from '../backup/archive.testing.ts'
import { sha256Hex } from '../format/ids.ts'
import { decodeIndexFile } from '../format/index-file.ts'
import { indexEntry, openIndexWriter } from './index-writer.ts'

const packOf = (number: number, count: number) => ({
  id: sha256Hex(Buffer.from(`pack ${number}`)),
  blobs: Array.from({ length: count }, (_, i) => ({
    type: i % 3 === 0 ? ('tree' as const) : ('data' as const),
    id: sha256Hex(Buffer.from(`${number} ${i}`)),
    offset: i * 40,
    length: 40,
    uncompressedLength: i % 2 === 0 ? 100 : 0,
  })),
})

describe('an index writer', () => {
  it('writes what it was given, pack by pack, and nothing when there is nothing', async () => {
    const repository = await cheapRepository()
    const writer = openIndexWriter(repository)
    expect(await writer.flush()).toEqual([])
    const packs = [packOf(1, 3), packOf(2, 1), packOf(3, 0)]
    for (const pack of packs) await writer.add(indexEntry(pack.id, pack.blobs), pack.blobs.length)
    const [file = '', ...more] = await writer.flush()
    expect(more).toEqual([])
    const json = await repository.loadUnpacked('index', file)
    expect(decodeIndexFile(json, 'test')).toMatchObject({ packs })
    expect(await repository.listFiles('index')).toHaveLength(1)
  })

  it('begins another file at 50,000 blobs, and keeps packs whole', async () => {
    const repository = await cheapRepository()
    const writer = openIndexWriter(repository)
    for (let number = 0; number < 12; number++) {
      const pack = packOf(number, 10_000)
      await writer.add(indexEntry(pack.id, pack.blobs), pack.blobs.length)
    }
    const files = await writer.flush()
    expect(files).toHaveLength(3)
    const index = await repository.loadIndex()
    expect(index.size).toBe(120_000)
    expect(new Set(index.indexFiles)).toEqual(new Set(files))
  })
})
