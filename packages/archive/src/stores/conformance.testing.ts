import { type ErrorCode, HoldfastError } from '@holdfast/contract'
import { afterEach, describe, expect, it } from 'vitest'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import { sha256Hex } from '../format/ids.ts'
import { type BlobStore, type FileName, type FileType, fileTypes } from './blob-store.ts'
import { collect } from './doubles.testing.ts'

/** An empty store, made anew for every row. */
export interface StoreUnderTest {
  readonly store: BlobStore
  /** Called after the row, before the store is disposed. */
  readonly end?: () => PromiseLike<void>
}

export interface ConformanceOptions {
  /** Of several concurrent saves of a config exactly one wins. True unless told. */
  readonly configRace?: boolean
  /**
   * A second config with the very bytes of the first may pass for a repeated save, as under retry: a
   * config is sealed under a random IV, so only its own writer has these bytes. False unless told.
   */
  readonly ownConfigAgain?: boolean
  /** Several saves of the same file at once all succeed. True unless told. */
  readonly sameFileRace?: boolean
  /** Listings may be behind for a while: rows then read until they are right. */
  readonly eventualListing?: boolean
  /** The large body, in bytes: choose it above a store's own threshold. 1 MiB unless told. */
  readonly largeBody?: number
  /** How many files the long listing has: choose it above a store's page. 40 unless told. */
  readonly manyFiles?: number
}

/** Registers every row of the port's promises against stores from `make`. */
export function storeMustBehave(
  name: string,
  make: () => Promise<StoreUnderTest>,
  options: ConformanceOptions = {},
): void {
  describe(`${name} keeps the store's promises`, () => {
    let open: StoreUnderTest | undefined
    const opened = async (): Promise<BlobStore> => {
      open = await make()
      await open.store.create()
      return open.store
    }
    afterEach(async () => {
      await open?.end?.()
      await open?.store[Symbol.asyncDispose]()
      open = undefined
    })
    const context: Context = { opened, options }
    saveAndLoadRows(context)
    rangeRows(context)
    existingRows(context)
    listRows(context)
    removeRows(context)
    concurrencyRows(context)
    manners(context)
  })
}

interface Context {
  readonly opened: () => Promise<BlobStore>
  readonly options: ConformanceOptions
}

const random = seededRandom(20_240_229)

/** New content under its right name: every row has files nobody else has. */
export function someFile(type: FileType, length: number): { readonly file: FileName; readonly body: Buffer } {
  const body = random.bytes(length)
  return { file: { type, id: type === 'config' ? '' : sha256Hex(body) }, body }
}

/** The code of the HoldfastError that `work` fails with. */
export async function failureOf(work: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    if (error instanceof HoldfastError) return error.code
    throw error
  }
}

function saveAndLoadRows({ opened, options }: Context): void {
  it.each(fileTypes)('a %s comes back byte for byte, with its size', async (type) => {
    const store = await opened()
    const { file, body } = someFile(type, 1000)
    await store.save(file, body)
    expect((await store.load(file)).equals(body)).toBe(true)
    expect(await store.stat(file)).toEqual({ size: 1000 })
  })

  it('a large body, one byte and no bytes come back as they were', async () => {
    const store = await opened()
    for (const length of [options.largeBody ?? 2 ** 20, 1, 0]) {
      const { file, body } = someFile('pack', length)
      await store.save(file, body)
      expect((await store.load(file)).equals(body)).toBe(true)
    }
  })

  it.each(fileTypes)('an absent %s is NotFound, and not worth repeating', async (type) => {
    const store = await opened()
    const { file } = someFile(type, 10)
    for (const work of [
      () => store.load(file),
      () => store.load(file, { offset: 0, length: 1 }),
      () => store.stat(file),
    ]) {
      const error = await work().then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({ code: 'NotFound', retry: 'after-change' })
    }
  })

  it('a body is copied: reusing it, or writing into what was loaded, changes nothing', async () => {
    const store = await opened()
    const { file, body } = someFile('index', 500)
    const surrounding = new Uint8Array(700)
    surrounding.set(body, 100)
    const view = surrounding.subarray(100, 600)
    await store.save(file, view)
    surrounding.fill(0)
    ;(await store.load(file)).fill(0)
    expect((await store.load(file)).equals(body)).toBe(true)
  })
}

function rangeRows({ opened }: Context): void {
  it('a range gives exactly its bytes, at the start, in the middle and at the end', async () => {
    const store = await opened()
    const { file, body } = someFile('pack', 10_000)
    await store.save(file, body)
    for (const [offset, length] of [
      [0, 1],
      [0, 10_000],
      [5000, 17],
      [9999, 1],
      [1, 9999],
    ] as const) {
      const part = await store.load(file, { offset, length })
      expect(part.equals(body.subarray(offset, offset + length))).toBe(true)
    }
  })

  it('a range of no bytes is empty', async () => {
    const store = await opened()
    const { file, body } = someFile('pack', 10)
    await store.save(file, body)
    expect((await store.load(file, { offset: 3, length: 0 })).length).toBe(0)
  })

  it.each([
    { offset: 0, length: 101 },
    { offset: 99, length: 2 },
    { offset: 100, length: 1 },
    { offset: 5000, length: 10 },
  ])('a range past the end is Damaged: $length from $offset of 100', async (range) => {
    const store = await opened()
    const { file, body } = someFile('pack', 100)
    await store.save(file, body)
    expect(await failureOf(store.load(file, range))).toBe('Damaged')
  })

  it.each([
    { offset: -1, length: 5 },
    { offset: 0.5, length: 5 },
    { offset: 0, length: Number.NaN },
  ])('a range that is none is refused: %o', async (range) => {
    const store = await opened()
    const { file, body } = someFile('pack', 100)
    await store.save(file, body)
    expect(await failureOf(store.load(file, range))).toBe('Internal')
  })
}

function existingRows({ opened, options }: Context): void {
  it.each(fileTypes.filter((type) => type !== 'config'))(
    'saving the same %s again is a success',
    async (type) => {
      const store = await opened()
      const { file, body } = someFile(type, 300)
      await store.save(file, body)
      await store.save(file, body)
      expect((await store.load(file)).equals(body)).toBe(true)
    },
  )

  it('an existing file of another size is Damaged and stays as it is', async () => {
    const store = await opened()
    const { file, body } = someFile('pack', 300)
    const other = someFile('pack', 0)
    await store.save(other.file, other.body)
    await store.save(file, body)
    // Only the name counts here, so the longer body goes under a name that is not its hash.
    expect(await failureOf(store.save(other.file, Buffer.from('x')))).toBe('Damaged')
    expect(await store.stat(other.file)).toEqual({ size: 0 })
    expect((await store.load(file)).equals(body)).toBe(true)
  })

  it('a second config is RepositoryExists, even with the same bytes, and the first stays', async () => {
    const store = await opened()
    const first = someFile('config', 155)
    await store.save(first.file, first.body)
    const same = options.ownConfigAgain === true ? [] : [first.body]
    for (const body of [...same, someFile('config', 155).body, someFile('config', 99).body]) {
      expect(await failureOf(store.save(first.file, body))).toBe('RepositoryExists')
    }
    expect((await store.load(first.file)).equals(first.body)).toBe(true)
  })

  it.runIf(options.configRace ?? true)('of several configs saved at once exactly one wins', async () => {
    const store = await opened()
    const bodies = Array.from({ length: 6 }, () => someFile('config', 155).body)
    const codes = await Promise.all(
      bodies.map((body) => failureOf(store.save({ type: 'config', id: '' }, body))),
    )
    expect(codes.filter((code) => code === undefined)).toHaveLength(1)
    expect(codes.filter((code) => code === 'RepositoryExists')).toHaveLength(5)
    const winner = bodies[codes.indexOf(undefined)]
    expect((await store.load({ type: 'config', id: '' })).equals(winner ?? Buffer.alloc(0))).toBe(true)
  })
}

function listRows({ opened, options }: Context): void {
  const listed = async (
    store: BlobStore,
    type: FileType,
    expected: number,
  ): Promise<{ id: string; size: number }[]> => {
    let rows = await collect(store.list(type))
    for (let i = 0; i < 200 && options.eventualListing === true && rows.length !== expected; i++) {
      rows = await collect(store.list(type))
    }
    return rows.map(({ id, size }) => ({ id, size })).sort(byId)
  }

  it.each(fileTypes)('an empty store has no %s', async (type) => {
    expect(await collect((await opened()).list(type))).toEqual([])
  })

  it('each type lists its own files, each once, with their sizes', async () => {
    const store = await opened()
    const files = fileTypes.flatMap((type) =>
      (type === 'config' ? [155] : [10, 20, 30]).map((length) => ({
        type,
        length,
        ...someFile(type, length),
      })),
    )
    for (const { file, body } of files) await store.save(file, body)
    for (const type of fileTypes) {
      const expected = files
        .filter((entry) => entry.type === type)
        .map(({ file, length }) => ({ id: file.id, size: length }))
        .sort(byId)
      expect(await listed(store, type, expected.length)).toEqual(expected)
    }
  })

  it('a long listing is complete', async () => {
    const store = await opened()
    const files = Array.from({ length: options.manyFiles ?? 40 }, () => someFile('pack', 8))
    await Promise.all(files.map(({ file, body }) => store.save(file, body)))
    const rows = await listed(store, 'pack', files.length)
    expect(rows).toEqual(files.map(({ file }) => ({ id: file.id, size: 8 })).sort(byId))
  })

  it('a listing lets its reader remove what it has seen', async () => {
    const store = await opened()
    const files = Array.from({ length: 10 }, () => someFile('snapshot', 8))
    for (const { file, body } of files) await store.save(file, body)
    await listed(store, 'snapshot', 10)
    for await (const { id } of store.list('snapshot')) await store.remove({ type: 'snapshot', id })
    expect(await listed(store, 'snapshot', 0)).toEqual([])
  })
}

function removeRows({ opened, options }: Context): void {
  it.each(fileTypes)('a removed %s is gone, and removing it again is fine', async (type) => {
    const store = await opened()
    const { file, body } = someFile(type, 64)
    await store.save(file, body)
    await store.remove(file)
    expect(await failureOf(store.load(file))).toBe('NotFound')
    expect(await failureOf(store.stat(file))).toBe('NotFound')
    if (options.eventualListing !== true) expect(await collect(store.list(type))).toEqual([])
    await store.remove(file)
  })

  it('a removed file can be saved again', async () => {
    const store = await opened()
    const { file, body } = someFile('lock', 64)
    await store.save(file, body)
    await store.remove(file)
    await store.save(file, body)
    expect((await store.load(file)).equals(body)).toBe(true)
  })

  it('removing leaves the neighbours', async () => {
    const store = await opened()
    const kept = someFile('pack', 64)
    const gone = someFile('pack', 64)
    await store.save(kept.file, kept.body)
    await store.save(gone.file, gone.body)
    await store.remove(gone.file)
    expect((await store.load(kept.file)).equals(kept.body)).toBe(true)
  })
}

function concurrencyRows({ opened, options }: Context): void {
  it.runIf(options.sameFileRace ?? true)('saves of the same file at once all succeed', async () => {
    const store = await opened()
    const { file, body } = someFile('index', 4096)
    await Promise.all(Array.from({ length: 6 }, () => store.save(file, body)))
    expect((await store.load(file)).equals(body)).toBe(true)
  })

  it('many calls at once do not mix up their files', async () => {
    const store = await opened()
    const files = Array.from({ length: 24 }, (_, i) =>
      someFile(i % 2 === 0 ? 'pack' : 'index', 100 + i * 100),
    )
    await Promise.all(files.map(({ file, body }) => store.save(file, body)))
    const loaded = await Promise.all(files.map(({ file }) => store.load(file)))
    expect(loaded.map((bytes, i) => files[i]?.body.equals(bytes))).toEqual(files.map(() => true))
  })
}

function manners({ opened }: Context): void {
  it('creating again changes nothing', async () => {
    const store = await opened()
    const files = [someFile('config', 155), someFile('pack', 100), someFile('key', 100)]
    for (const { file, body } of files) await store.save(file, body)
    await store.create()
    for (const { file, body } of files) expect((await store.load(file)).equals(body)).toBe(true)
  })

  it('a name that is not a hash is refused, so that none leaves the repository', async () => {
    const store = await opened()
    for (const id of ['../../etc/passwd', '', 'ABCDEF', 'a'.repeat(63), `${'a'.repeat(63)}/`]) {
      const file: FileName = { type: 'key', id }
      for (const work of [
        () => store.save(file, Buffer.from('x')),
        () => store.load(file),
        () => store.stat(file),
        () => store.remove(file),
      ]) {
        expect(await failureOf(work())).toBe('Internal')
      }
    }
  })

  it('says where it is and how many requests it takes at once', async () => {
    const store = await opened()
    expect(store.location).not.toBe('')
    expect(store.connections).toBeGreaterThanOrEqual(1)
  })
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}
