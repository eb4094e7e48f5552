import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Hex, isHex, sha256Hex } from '../../format/ids.ts'
import { type BlobStore, type FileType, type ListedFile, maxWholeFile } from '../blob-store.ts'
import { wrapStore } from './wrap-store.ts'

/** Options of the cache. */
export interface CacheOptions {
  /**
   * A directory for this repository alone (files of another in it would be dropped as foreign). Made
   * when needed, 0700. May be shared by any number of processes and deleted at any time.
   */
  readonly directory: string
  /** The wall clock in ms since the epoch, compared with the cached files' times. */
  readonly now?: () => number
  /** Hears of an entry whose bytes did not match its name; it has been dropped. */
  readonly onPoisoned?: (path: string) => void
}

/**
 * Keeps index and snapshot files in a local directory. Keys, locks, the config and packs are never
 * cached. What is read back is verified against its SHA-256 name, and dropped if it does not match, so
 * nobody who can write to the directory can change what is read; only then is it given out instead of
 * a request. Trouble with the directory is never an error: the store answers instead.
 *
 * A complete listing drops entries the store no longer has, except young ones: another process may
 * have saved them after the listing began.
 *
 * A check that is to prove what the *store* holds must be run without the cache.
 */
export function withCache(store: BlobStore, options: CacheOptions): BlobStore {
  const cache = openCache(options)
  return wrapStore(store, {
    save: async (file, body) => {
      await store.save(file, body)
      if (isCached(file.type)) await cache.put(file.type, file.id, body)
    },
    load: async (file, range) => {
      if (range !== undefined || !isCached(file.type)) return store.load(file, range)
      const kept = await cache.get(file.type, file.id)
      if (kept !== undefined) return kept
      const bytes = await store.load(file)
      await cache.put(file.type, file.id, bytes)
      return bytes
    },
    list: (type) => (isCached(type) ? listAndTidy(store, type, cache) : store.list(type)),
    remove: async (file) => {
      if (isCached(file.type)) await cache.drop(file.type, file.id)
      await store.remove(file)
    },
  })
}

type CachedType = 'index' | 'snapshot'

function isCached(type: FileType): type is CachedType {
  return type === 'index' || type === 'snapshot'
}

/** How old an entry must be before a listing without it drops it, in ms. */
const settledAfter = 60 * 60_000

async function* listAndTidy(store: BlobStore, type: CachedType, cache: Cache): AsyncIterable<ListedFile> {
  const listed = new Set<Hex>()
  for await (const row of store.list(type)) {
    listed.add(row.id)
    yield row
  }
  await cache.keepOnly(type, listed)
}

interface Cache {
  get(type: CachedType, id: Hex): Promise<Buffer | undefined>
  put(type: CachedType, id: Hex, bytes: Uint8Array): Promise<void>
  drop(type: CachedType, id: Hex): Promise<void>
  keepOnly(type: CachedType, ids: ReadonlySet<Hex>): Promise<void>
}

function openCache(options: CacheOptions): Cache {
  const now = options.now ?? Date.now
  const pathOf = (type: CachedType, id: Hex): string => join(options.directory, type, id)
  let made: Promise<unknown> | undefined
  return {
    get: async (type, id) => {
      if (!isHex(id)) return undefined
      const path = pathOf(type, id)
      const bytes = await readBounded(path)
      if (bytes === undefined || sha256Hex(bytes) === id) return bytes
      await unlink(path).catch(ignore)
      options.onPoisoned?.(path)
      return undefined
    },
    put: async (type, id, bytes) => {
      if (!isHex(id) || sha256Hex(bytes) !== id) return
      made ??= makeDirectory(options.directory)
      await made.then(() => replaceFile(pathOf(type, id), bytes)).catch(ignore)
    },
    drop: (type, id) => (isHex(id) ? unlink(pathOf(type, id)).catch(ignore) : Promise.resolve()),
    keepOnly: async (type, ids) => {
      const directory = join(options.directory, type)
      for (const name of await readdir(directory).catch((): string[] => [])) {
        if (ids.has(name)) continue
        const age = await stat(join(directory, name)).then((found) => now() - found.mtimeMs, ignore)
        if (age !== undefined && age > settledAfter) await unlink(join(directory, name)).catch(ignore)
      }
    },
  }
}

async function readBounded(path: string): Promise<Buffer | undefined> {
  try {
    const found = await stat(path)
    return found.isFile() && found.size <= maxWholeFile ? await readFile(path) : undefined
  } catch {
    return undefined
  }
}

async function makeDirectory(directory: string): Promise<void> {
  for (const type of ['index', 'snapshot'] satisfies CachedType[]) {
    await mkdir(join(directory, type), { recursive: true, mode: 0o700 })
  }
  await writeFile(join(directory, 'CACHEDIR.TAG'), cacheDirectoryTag, { flag: 'wx', mode: 0o600 }).catch(
    ignore,
  )
}

/** No fsync: after a power cut the name check finds a broken entry. The rename keeps readers from half a file. */
async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}-tmp-${process.pid}-${randomBytes(6).toString('hex')}`
  try {
    await writeFile(temporary, bytes, { flag: 'wx', mode: 0o600 })
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary).catch(ignore)
    throw error
  }
}

/** Marks the directory for backup programs, ours too (Cache Directory Tagging Specification). */
const cacheDirectoryTag =
  'Signature: 8a477f597d28d172789f06886806bc55\n# Copies of repository files; may be deleted at any time.\n'

function ignore(): undefined {}
