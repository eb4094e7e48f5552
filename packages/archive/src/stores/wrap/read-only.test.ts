import { expect, it } from 'vitest'
import { fileTypes } from '../blob-store.ts'
import { failureOf, someFile } from '../conformance.testing.ts'
import { collect } from '../doubles.testing.ts'
import { openMemoryStore } from '../memory.ts'
import { withReadOnly } from './read-only.ts'

it('reads everything and changes nothing', async () => {
  const files = new Map<string, Buffer>()
  const inner = openMemoryStore({ files })
  const store = withReadOnly(inner)
  for (const type of fileTypes) {
    const { file, body } = someFile(type, 20)
    await inner.save(file, body)
    const before = new Map(files)
    expect((await store.load(file)).equals(body)).toBe(true)
    expect(await collect(store.list(type))).toEqual([{ id: file.id, size: 20 }])
    const other = someFile(type, 20)
    expect(await failureOf(store.save(other.file, other.body))).toBe('ReadOnly')
    expect(await failureOf(store.remove(file))).toBe('ReadOnly')
    expect(files).toEqual(before)
  }
  expect(await failureOf(store.create())).toBe('ReadOnly')
})

it('lets locks through when told, and nothing else', async () => {
  const store = withReadOnly(openMemoryStore(), { allowLocks: true })
  for (const type of fileTypes) {
    const { file, body } = someFile(type, 20)
    const expected = type === 'lock' ? undefined : 'ReadOnly'
    expect(await failureOf(store.save(file, body))).toBe(expected)
    expect(await failureOf(store.remove(file))).toBe(expected)
  }
})
