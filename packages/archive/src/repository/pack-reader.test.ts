import { readdirSync, truncateSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { noise } from '../backup/archive.testing.ts'
import { sha256Hex } from '../format/ids.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { openPackReader } from './pack-reader.ts'

const scratch = scratchDirectory('pack-reader')
const packs = Array.from({ length: 40 }, (_, i) => noise(i, 1000)).map((bytes) => ({
  id: sha256Hex(bytes),
  bytes,
}))

const stores: readonly (readonly [string, () => BlobStore])[] = [
  ['in memory', () => openMemoryStore()],
  ['on disk', () => openFilesystemStore(`${scratch}/repo`)],
]

describe.each(stores)('a pack reader %s', (_, open) => {
  it('reads any part of any number of packs', async () => {
    const store = open()
    await store.create()
    for (const { id, bytes } of packs) await store.save({ type: 'pack', id }, bytes)
    const reader = openPackReader(store)
    for (const round of [0, 1, 2]) {
      for (const [i, { id, bytes }] of packs.entries()) {
        const offset = (i * 13 + round) % 900
        expect((await reader.read(id, offset, 100)).equals(bytes.subarray(offset, offset + 100))).toBe(true)
      }
    }
    if (store.localDirectory !== undefined) {
      const descriptors = readdirSync('/proc/self/fd').length
      reader.close()
      // it held sixteen files open, no more
      expect(descriptors - readdirSync('/proc/self/fd').length).toBe(16)
    }
    const [first] = packs
    expect(await reader.read(first?.id ?? '', 900, 100)).toHaveLength(100)
    reader.close()
  })

  it('calls a part that is not all there damaged, and a pack that is gone not found', async () => {
    const store = open()
    await store.create()
    for (const { id, bytes } of packs) await store.save({ type: 'pack', id }, bytes)
    const reader = openPackReader(store)
    const id = packs[0]?.id ?? ''
    await expect(reader.read(id, 901, 100)).rejects.toMatchObject({ code: 'Damaged' })
    await expect(reader.read(id, 5000, 1)).rejects.toMatchObject({ code: 'Damaged' })
    await expect(reader.read(sha256Hex(Buffer.from('?')), 0, 1)).rejects.toMatchObject({ code: 'NotFound' })
    if (store.localDirectory !== undefined) {
      truncateSync(`${store.localDirectory}/data/${id.slice(0, 2)}/${id}`, 50)
      await expect(reader.read(id, 0, 100)).rejects.toMatchObject({ code: 'Damaged' })
    }
    reader.close()
  })
})
