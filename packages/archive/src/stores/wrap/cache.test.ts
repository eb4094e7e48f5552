import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { FileType } from '../blob-store.ts'
import { failureOf, someFile, storeMustBehave } from '../conformance.testing.ts'
import { collect, laggingStore } from '../doubles.testing.ts'
import { openMemoryStore } from '../memory.ts'
import { withCache } from './cache.ts'
import { withMetrics } from './metrics.ts'

const scratch: string[] = []
const freshDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-cache-'))
  scratch.push(directory)
  return join(directory, 'cache')
}
afterEach(() => {
  for (const directory of scratch.splice(0)) rmSync(directory, { recursive: true, force: true })
})

storeMustBehave('cache over memory', async () => ({
  store: withCache(openMemoryStore(), { directory: freshDirectory() }),
}))
storeMustBehave('cache in an impossible place', async () => ({
  store: withCache(openMemoryStore(), { directory: '/dev/null/cache' }),
}))

function cached() {
  const directory = freshDirectory()
  const inner = withMetrics(openMemoryStore())
  const poisoned: string[] = []
  const store = withCache(inner, { directory, onPoisoned: (path) => poisoned.push(path) })
  return { directory, inner, store, poisoned, loads: () => inner.totals().load.calls }
}

describe('the cache', () => {
  it.each([
    ['index', 0],
    ['snapshot', 0],
    ['pack', 2],
    ['key', 2],
    ['lock', 2],
    ['config', 2],
  ] satisfies [FileType, number][])(
    'two loads of a saved %s ask the store %i times',
    async (type, requests) => {
      const { store, loads } = cached()
      const { file, body } = someFile(type, 50)
      await store.save(file, body)
      expect((await store.load(file)).equals(body)).toBe(true)
      expect((await store.load(file)).equals(body)).toBe(true)
      expect(loads()).toBe(requests)
    },
  )

  it('keeps what it loaded for the next process', async () => {
    const { directory, inner, store, loads } = cached()
    const { file, body } = someFile('index', 50)
    await inner.save(file, body)
    await store.load(file)
    await withCache(inner, { directory }).load(file)
    expect(loads()).toBe(1)
  })

  it('never gives out poisoned bytes: the entry is dropped, told of and fetched anew', async () => {
    const { directory, store, poisoned, loads } = cached()
    const { file, body } = someFile('snapshot', 50)
    await store.save(file, body)
    const path = join(directory, 'snapshot', file.id)
    for (const poison of [Buffer.alloc(50), body.subarray(0, 10), Buffer.alloc(0)]) {
      writeFileSync(path, poison)
      expect((await store.load(file)).equals(body)).toBe(true)
    }
    expect(poisoned).toEqual([path, path, path])
    expect(loads()).toBe(3)
    expect(readFileSync(path).equals(body)).toBe(true)
  })

  it('does not keep bytes of the store that do not match their name', async () => {
    const { directory, inner, store } = cached()
    const { file } = someFile('index', 50)
    await inner.save(file, Buffer.from('damaged in the store'))
    expect((await store.load(file)).toString()).toBe('damaged in the store')
    expect(existsSync(join(directory, 'index', file.id))).toBe(false)
  })

  it('a removed file is not found, even if it was cached', async () => {
    const { store } = cached()
    const { file, body } = someFile('index', 50)
    await store.save(file, body)
    await store.remove(file)
    expect(await failureOf(store.load(file))).toBe('NotFound')
  })

  it('a complete listing drops what the store lost, but nothing young; a listing left early drops nothing', async () => {
    const { directory, inner, store } = cached()
    const files = [someFile('index', 50), someFile('index', 60), someFile('index', 70)]
    for (const { file, body } of files) await store.save(file, body)
    const [old, young, kept] = files.map(({ file }) => file)
    if (old === undefined || young === undefined || kept === undefined) throw new Error('three files')
    await inner.remove(old)
    await inner.remove(young)
    const yesterday = new Date(Date.now() - 86_400_000)
    for (const { id } of [old, kept]) utimesSync(join(directory, 'index', id), yesterday, yesterday)
    for await (const _ of store.list('index')) break
    expect(readdirSync(join(directory, 'index')).length).toBe(3)
    await collect(store.list('index'))
    expect(readdirSync(join(directory, 'index')).toSorted()).toEqual([young.id, kept.id].toSorted())
  })

  it('is tagged as a cache, so that backups leave it out', async () => {
    const { directory, store } = cached()
    const { file, body } = someFile('index', 50)
    await store.save(file, body)
    expect(readFileSync(join(directory, 'CACHEDIR.TAG'), 'utf8')).toMatch(
      /^Signature: 8a477f597d28d172789f06886806bc55\n/,
    )
  })

  it('several caches in one directory at once give the right bytes and leave no half files', async () => {
    const directory = freshDirectory()
    const inner = laggingStore(openMemoryStore(), { seed: 5, longestMs: 3 })
    const caches = Array.from({ length: 4 }, () => withCache(inner, { directory }))
    const files = Array.from({ length: 12 }, () => someFile('index', 20_000))
    for (const { file, body } of files) await inner.save(file, body)
    await Promise.all(
      caches.flatMap((store) =>
        files.map(async ({ file, body }, i) => {
          if (i % 3 === 0) await collect(store.list('index'))
          expect((await store.load(file)).equals(body)).toBe(true)
        }),
      ),
    )
    expect(readdirSync(join(directory, 'index')).toSorted()).toEqual(
      files.map(({ file }) => file.id).toSorted(),
    )
  })
})
