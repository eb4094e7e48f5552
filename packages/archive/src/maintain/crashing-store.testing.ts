import { HoldfastError } from '@holdfast/contract'
import { type BlobStore, fileTypes } from '../stores/blob-store.ts'
import { wrapStore } from '../stores/wrap/wrap-store.ts'

export interface CrashingStore extends BlobStore {
  /** Saves and removals that were asked for so far. */
  effects(): number
}

/**
 * Dies at the n-th change (a save or a removal, counted from 1), before it takes effect or after; from then on
 * nothing is possible any more, as for a process that was killed.
 */
export function crashingStore(
  inner: BlobStore,
  dieAt: number,
  when: 'before' | 'after' = 'before',
): CrashingStore {
  let effects = 0
  let dead = false
  const died = (): HoldfastError =>
    new HoldfastError('StoreUnavailable', 'the test killed this process', { retry: 'never' })
  const read = async <T>(work: () => Promise<T>): Promise<T> => {
    if (dead) {
      throw died()
    }
    return await work()
  }
  const change = async (work: () => Promise<void>): Promise<void> => {
    if (dead) {
      throw died()
    }
    effects += 1
    if (effects === dieAt) {
      dead = true
      if (when === 'after') {
        await work()
      }
      throw died()
    }
    await work()
  }
  const wrapped = wrapStore(inner, {
    save: async (file, body) => await change(async () => await inner.save(file, body)),
    remove: async (file) => await change(async () => await inner.remove(file)),
    load: async (file, range) => await read(async () => await inner.load(file, range)),
    stat: async (file) => await read(async () => await inner.stat(file)),
    async *list(type) {
      if (dead) {
        throw died()
      }
      yield* inner.list(type)
    },
  })
  return { ...wrapped, effects: () => effects }
}

/** Copies every file of one store into another. */
export async function copyStore(from: BlobStore, to: BlobStore): Promise<void> {
  await to.create()
  for (const type of fileTypes) {
    for await (const { id } of from.list(type)) {
      await to.save({ type, id }, await from.load({ type, id }))
    }
  }
}
