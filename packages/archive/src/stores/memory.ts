import type { BlobStore, ByteRange, FileName, FileType, ListedFile } from './blob-store.ts'
import { rangeWithin } from './check-range.ts'
import { notFound, settleExisting } from './existing-file.ts'
import { idOfPath, layoutDirectory, layoutPath } from './layout.ts'

/** Options of the memory store. */
export interface MemoryStoreOptions {
  /** Shown in messages; `memory:` unless told. */
  readonly location?: string
  /** The files, by layout path. Pass the same map twice to open the same repository twice. */
  readonly files?: Map<string, Buffer>
}

/** A store in this process's memory: for tests, dry runs and as the model other stores are held to. Durable for as long as the map lives. */
export function openMemoryStore(options: MemoryStoreOptions = {}): BlobStore {
  const files = options.files ?? new Map<string, Buffer>()
  const location = options.location ?? 'memory:'
  const find = (file: FileName): Buffer => {
    const found = files.get(layoutPath(file))
    if (found === undefined) throw notFound(file, `There is no ${layoutPath(file)} in ${location}.`)
    return found
  }
  return {
    location,
    connections: 4,
    localDirectory: undefined,
    async create() {},
    async save(file: FileName, body: Uint8Array) {
      const existing = files.get(layoutPath(file))
      if (existing === undefined) files.set(layoutPath(file), Buffer.from(body))
      else settleExisting(file, existing.length, body.length, location)
    },
    async load(file: FileName, range?: ByteRange) {
      if (range?.length === 0) return Buffer.alloc(0)
      const bytes = find(file)
      const { offset, length } = rangeWithin(file, bytes.length, range)
      return Buffer.from(bytes.subarray(offset, offset + length))
    },
    async stat(file: FileName) {
      return { size: find(file).length }
    },
    list: (type: FileType) => listFiles(files, type),
    async remove(file: FileName) {
      files.delete(layoutPath(file))
    },
    async [Symbol.asyncDispose]() {},
  }
}

async function* listFiles(files: ReadonlyMap<string, Buffer>, type: FileType): AsyncIterable<ListedFile> {
  const snapshot = [...files].map(([path, bytes]) => ({ path, size: bytes.length }))
  for (const { path, size } of snapshot) {
    if (type === 'config') {
      if (path === 'config') yield { id: '', size }
      continue
    }
    const directory = `${layoutDirectory(type)}/`
    const id = path.startsWith(directory) ? idOfPath(type, path.slice(directory.length)) : undefined
    if (id !== undefined) yield { id, size }
  }
}
