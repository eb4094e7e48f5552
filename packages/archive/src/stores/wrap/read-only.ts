import { HoldfastError } from '@holdfast/contract'
import type { BlobStore } from '../blob-store.ts'
import { layoutPath } from '../layout.ts'
import { wrapStore } from './wrap-store.ts'

/** Options of the read-only wrapper. */
export interface ReadOnlyOptions {
  /** Lets lock files be saved and removed, so that a reader still keeps prune away. Off unless told. */
  readonly allowLocks?: boolean
}

/** Refuses every change with `ReadOnly` before it reaches the store. */
export function withReadOnly(store: BlobStore, options: ReadOnlyOptions = {}): BlobStore {
  const refuse = (doing: string, place: string): HoldfastError =>
    new HoldfastError('ReadOnly', `The store was opened read-only; something tried to ${doing}.`, {
      place,
      guidance: 'Open it without the read-only option to change it.',
    })
  return wrapStore(store, {
    create: () => Promise.reject(refuse('make a repository', store.location)),
    save: async (file, body) => {
      if (file.type !== 'lock' || options.allowLocks !== true)
        throw refuse(`save a ${file.type}`, layoutPath(file))
      await store.save(file, body)
    },
    remove: async (file) => {
      if (file.type !== 'lock' || options.allowLocks !== true)
        throw refuse(`remove a ${file.type}`, layoutPath(file))
      await store.remove(file)
    },
  })
}
