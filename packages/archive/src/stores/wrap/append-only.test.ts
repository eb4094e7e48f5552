import { expect, it } from 'vitest'
import { fileTypes } from '../blob-store.ts'
import { failureOf, someFile } from '../conformance.testing.ts'
import { openMemoryStore } from '../memory.ts'
import { withAppendOnly } from './append-only.ts'

it('adds every kind of file and removes only locks', async () => {
  const store = withAppendOnly(openMemoryStore())
  for (const type of fileTypes) {
    const { file, body } = someFile(type, 20)
    await store.save(file, body)
    expect(await failureOf(store.remove(file))).toBe(type === 'lock' ? undefined : 'ReadOnly')
    expect(await failureOf(store.load(file))).toBe(type === 'lock' ? 'NotFound' : undefined)
  }
})
