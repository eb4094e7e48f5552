import type { BlobStore } from '../blob-store.ts'

/**
 * A store that passes every call on to `inner`, except those in `overrides`. Hides `localDirectory`,
 * because direct access to the files would go round the wrapper; disposing it disposes `inner`.
 */
export function wrapStore(inner: BlobStore, overrides: Partial<BlobStore>): BlobStore {
  return {
    location: inner.location,
    connections: inner.connections,
    localDirectory: undefined,
    create: () => inner.create(),
    save: (file, body) => inner.save(file, body),
    load: (file, range) => inner.load(file, range),
    stat: (file) => inner.stat(file),
    list: (type) => inner.list(type),
    remove: (file) => inner.remove(file),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    ...overrides,
  }
}
