import { expect, it } from 'vitest'
import { someFile, storeMustBehave } from './conformance.testing.ts'
import { collect } from './doubles.testing.ts'
import { openMemoryStore } from './memory.ts'

storeMustBehave('memory', async () => ({ store: openMemoryStore() }))

it('two memory stores over one map are one repository', async () => {
  const files = new Map<string, Buffer>()
  const { file, body } = someFile('key', 20)
  await openMemoryStore({ files }).save(file, body)
  expect(await collect(openMemoryStore({ files }).list('key'))).toEqual([{ id: file.id, size: 20 }])
})
