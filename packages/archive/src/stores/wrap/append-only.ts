import { HoldfastError } from '@holdfast/contract'
import type { BlobStore } from '../blob-store.ts'
import { layoutPath } from '../layout.ts'
import { wrapStore } from './wrap-store.ts'

/**
 * Lets files be added and refuses to remove any but locks, as restic's append-only servers do. Saves
 * never replace, by the port's own promise, so what is in the store stays as it is. It guards against
 * our own mistakes; against a stolen credential only the server's policy or object lock helps.
 */
export function withAppendOnly(store: BlobStore): BlobStore {
  return wrapStore(store, {
    remove: async (file) => {
      if (file.type !== 'lock') {
        throw new HoldfastError(
          'ReadOnly',
          `The store was opened append-only; something tried to remove a ${file.type}.`,
          {
            place: layoutPath(file),
            guidance: 'Run forget and prune where the store is opened without the append-only option.',
          },
        )
      }
      await store.remove(file)
    },
  })
}
