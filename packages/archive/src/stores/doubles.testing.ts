/** Stores that misbehave on purpose, reproducibly. Each wraps a store that behaves. */
import { HoldfastError, type Retry } from '@holdfast/contract'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import type { BlobStore, FileName, FileType, ListedFile } from './blob-store.ts'
import { layoutPath } from './layout.ts'
import { wrapStore } from './wrap/wrap-store.ts'

export type DoubledOperation = 'create' | 'save' | 'load' | 'stat' | 'list' | 'remove'

export interface FaultOptions {
  readonly seed: number
  /** The probability that a call fails, 0 to 1. */
  readonly rate: number
  /** Before the store has done anything, after it has done everything, or either at random. */
  readonly when?: 'before' | 'after' | 'either'
  /** `later` unless told: what a network does. */
  readonly retry?: Retry
  /** Which calls may fail; all unless told. */
  readonly only?: (operation: DoubledOperation, file: FileName | undefined) => boolean
}

export interface FaultyStore extends BlobStore {
  /** How many calls have failed so far. */
  faults(): number
}

/** Fails calls at random: before their effect, or after it, as when an answer is lost on the way. */
export function faultyStore(inner: BlobStore, options: FaultOptions): FaultyStore {
  const random = seededRandom(options.seed)
  let faults = 0
  const decide = (
    operation: DoubledOperation,
    file: FileName | undefined,
  ): 'before' | 'after' | undefined => {
    if (options.only?.(operation, file) === false || !random.chance(options.rate)) return undefined
    faults++
    const when = options.when ?? 'either'
    return when === 'either' ? random.pick(['before', 'after'] as const) : when
  }
  const failure = (operation: DoubledOperation, when: string): HoldfastError =>
    new HoldfastError('StoreUnavailable', `Injected failure ${when} ${operation}.`, {
      retry: options.retry ?? 'later',
    })
  const around = async <T>(
    operation: DoubledOperation,
    file: FileName | undefined,
    work: () => Promise<T>,
  ): Promise<T> => {
    const fault = decide(operation, file)
    if (fault === 'before') throw failure(operation, 'before')
    const result = await work()
    if (fault === 'after') throw failure(operation, 'after')
    return result
  }
  const wrapped = wrapStore(inner, {
    create: () => around('create', undefined, () => inner.create()),
    save: (file, body) => around('save', file, () => inner.save(file, body)),
    load: (file, range) => around('load', file, () => inner.load(file, range)),
    stat: (file) => around('stat', file, () => inner.stat(file)),
    remove: (file) => around('remove', file, () => inner.remove(file)),
    async *list(type: FileType) {
      const fault = decide('list', undefined)
      if (fault === 'before') throw failure('list', 'before')
      const rows = await collect(inner.list(type))
      yield* fault === 'after' ? rows.slice(0, random.below(rows.length + 1)) : rows
      if (fault === 'after') throw failure('list', 'in the middle of')
    },
  })
  return { ...wrapped, faults: () => faults }
}

/** Lets every call wait a random time up to `longestMs` before and after, so that calls overtake each other. */
export function laggingStore(
  inner: BlobStore,
  options: { readonly seed: number; readonly longestMs: number },
): BlobStore {
  const random = seededRandom(options.seed)
  const pause = (): Promise<void> =>
    new Promise((resolve) => setTimeout(resolve, random.below(options.longestMs + 1)))
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    await pause()
    try {
      return await work()
    } finally {
      await pause()
    }
  }
  return wrapStore(inner, {
    create: () => around(() => inner.create()),
    save: (file, body) => around(() => inner.save(file, body)),
    load: (file, range) => around(() => inner.load(file, range)),
    stat: (file) => around(() => inner.stat(file)),
    remove: (file) => around(() => inner.remove(file)),
    async *list(type: FileType) {
      for await (const row of inner.list(type)) {
        await pause()
        yield row
      }
    },
  })
}

/**
 * Lists what was there `behind` calls of this store ago: new files appear late, removed ones stay.
 * Reading a file by name is up to date, as on S3 before it promised consistent listings.
 */
export function staleListingStore(inner: BlobStore, options: { readonly behind: number }): BlobStore {
  const history: {
    readonly call: number
    readonly type: FileType
    readonly row: ListedFile
    readonly removed: boolean
  }[] = []
  let calls = 0
  const note = (file: FileName, size: number, removed: boolean): void => {
    history.push({ call: calls, type: file.type, row: { id: file.id, size }, removed })
  }
  const called = <T>(work: () => Promise<T>): Promise<T> => {
    calls++
    return work()
  }
  return wrapStore(inner, {
    save: (file, body) =>
      called(async () => {
        await inner.save(file, body)
        note(file, body.length, false)
      }),
    load: (file, range) => called(() => inner.load(file, range)),
    stat: (file) => called(() => inner.stat(file)),
    remove: (file) =>
      called(async () => {
        const size = await inner.stat(file).then(
          (found) => found.size,
          () => undefined,
        )
        await inner.remove(file)
        if (size !== undefined) note(file, size, true)
      }),
    async *list(type: FileType) {
      calls++
      const rows = new Map((await collect(inner.list(type))).map((row) => [row.id, row]))
      // Undo what is too fresh to be seen, newest first.
      for (const change of history
        .filter((entry) => entry.type === type && entry.call > calls - options.behind)
        .reverse()) {
        if (change.removed) rows.set(change.row.id, change.row)
        else rows.delete(change.row.id)
      }
      yield* rows.values()
    },
  })
}

/** Fails saves at random and leaves the first part of the file under its final name: a store without atomic writes. */
export function tearingStore(
  inner: BlobStore,
  options: { readonly seed: number; readonly rate: number; readonly only?: (file: FileName) => boolean },
): FaultyStore {
  const random = seededRandom(options.seed)
  let faults = 0
  const wrapped = wrapStore(inner, {
    save: async (file, body) => {
      if (body.length === 0 || options.only?.(file) === false || !random.chance(options.rate))
        return inner.save(file, body)
      const there = await inner.stat(file).then(
        () => true,
        () => false,
      )
      if (there) return inner.save(file, body)
      faults++
      await inner.save(file, body.subarray(0, random.below(body.length)))
      throw new HoldfastError('StoreUnavailable', `Injected tear while writing ${layoutPath(file)}.`, {
        retry: 'later',
      })
    },
  })
  return { ...wrapped, faults: () => faults }
}

export interface FullStore extends BlobStore {
  /** Bytes still free. Assign to make room or take it away. */
  free: number
}

/** Has room for `free` bytes of new files; a save that does not fit fails as a full disk does. Removing makes room. */
export function fullDiskStore(inner: BlobStore, options: { readonly free: number }): FullStore {
  const disk: FullStore = {
    ...wrapStore(inner, {
      save: async (file, body) => {
        const there = await inner.stat(file).then(
          () => true,
          () => false,
        )
        if (!there && body.length > disk.free) {
          throw new HoldfastError('StoreUnavailable', `Could not write ${layoutPath(file)}: ENOSPC.`, {
            place: layoutPath(file),
          })
        }
        if (!there) disk.free -= body.length
        await inner.save(file, body)
      },
      remove: async (file) => {
        const size = await inner.stat(file).then(
          (found) => found.size,
          () => 0,
        )
        await inner.remove(file)
        disk.free += size
      },
    }),
    free: options.free,
  }
  return disk
}

/** All rows of a listing. */
export async function collect<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const row of rows) all.push(row)
  return all
}
