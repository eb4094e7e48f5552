import { HoldfastError } from '@holdfast/contract'
import { openPrimitives, type Primitives } from '../engine/primitives.ts'
import { openSealer, type Sealer } from '../engine/sealer.ts'
import { decodeConfig, type RepositoryConfig } from '../format/config.ts'
import { type Hex, sha256Hex } from '../format/ids.ts'
import type { MasterKey } from '../format/key-file.ts'
import { type BlobType, SEAL_OVERHEAD } from '../format/pack-header.ts'
import { decodeTree, type TreeNode } from '../format/tree.ts'
import type { BlobStore, FileType } from '../stores/blob-store.ts'
import { type BlobIndex, type BlobLocation, createBlobIndex, expectedBlobs } from './blob-index.ts'
import { mapConcurrently } from './map-concurrently.ts'
import { findMasterKey } from './master-key.ts'
import { openPackReader, type PackReader } from './pack-reader.ts'
import { frameUnpacked, MAX_UNPACKED_BYTES, unframeUnpacked } from './unpacked-frame.ts'

/** The files that hold one sealed JSON document each. */
export type UnpackedType = 'snapshot' | 'index' | 'lock'

/** Largest plain blob accepted. restic's chunker stops at 8 MiB; trees of very large directories are longer. */
export const MAX_BLOB_BYTES = 512 * 1024 * 1024

/**
 * An open repository: a store, its master key, and what was learned from it. Methods may run
 * concurrently. Nothing here takes a lock: see withLock.
 */
export interface Repository extends AsyncDisposable {
  readonly store: BlobStore
  readonly config: RepositoryConfig
  /** The key file the password opened. */
  readonly keyId: Hex
  readonly masterKey: MasterKey
  readonly primitives: Primitives
  readonly sealer: Sealer
  /** zstd level for data blobs; 0 stores them as they are. Version 1 repositories never compress. */
  readonly compressionLevel: number
  /** Empty until loadIndex. */
  readonly index: BlobIndex
  /**
   * Lists the index files and merges them. Their names are hashes of their content, so when the listing
   * is that of the last call, so is the answer, or that call's own work while it still runs: it may be
   * called before a lock is taken, to save the waiting, and again under it. Damaged files fail it by name.
   */
  loadIndex(): Promise<BlobIndex>
  listFiles(type: FileType): Promise<readonly { readonly id: Hex; readonly size: number }[]>
  /** The JSON of one file: its bytes hash to its name, its MAC verifies. */
  loadUnpacked(type: UnpackedType, id: Hex): Promise<Buffer>
  /** Seals and stores JSON; durable when it resolves. Returns the file's id. */
  saveUnpacked(type: UnpackedType, json: Uint8Array): Promise<Hex>
  removeFile(type: FileType, id: Hex): Promise<void>
  /** Plaintext of a blob, hash checked; a damaged copy is passed over for another one. Needs loadIndex. */
  loadBlob(type: BlobType, id: Hex): Promise<Buffer<ArrayBuffer>>
  loadTree(id: Hex): Promise<readonly TreeNode[]>
}

export interface OpenRepositoryOptions {
  readonly password: string | Uint8Array
  /** zstd level; 2 by default, 0 for none. */
  readonly compressionLevel?: number
  /** Use the portable primitives even where native ones work. */
  readonly portable?: boolean
}

export const DEFAULT_COMPRESSION_LEVEL = 2

/**
 * Opens a repository with a password. RepositoryNotFound when there is none, WrongPassword when no
 * key file opens, UnsupportedFormat for a version that is not 1 or 2.
 */
export async function openRepository(store: BlobStore, options: OpenRepositoryOptions): Promise<Repository> {
  const level = options.compressionLevel ?? DEFAULT_COMPRESSION_LEVEL
  const primitives = openPrimitives({ level: Math.max(1, level), portable: options.portable ?? false })
  const sealedConfig = await loadConfig(store)
  const { keyId, masterKey } = await findMasterKey(store, primitives, options.password)
  const sealer = openSealer(masterKey, primitives)
  const config = decodeConfig(openAt(sealer, sealedConfig, 'config'), 'config')
  const compressionLevel = config.version === 1 ? 0 : level
  return repositoryOn({ store, config, keyId, masterKey, primitives, sealer, compressionLevel })
}

async function loadConfig(store: BlobStore): Promise<Buffer> {
  try {
    return await store.load({ type: 'config', id: '' })
  } catch (cause) {
    if (!(cause instanceof HoldfastError) || cause.code !== 'NotFound') throw cause
    throw new HoldfastError('RepositoryNotFound', `there is no repository at ${store.location}`, {
      place: `${store.location}: config`,
      guidance: 'Check the location, or make a repository there with `holdfast archive init`.',
      cause,
    })
  }
}

/** Opens a sealed file and says which one it was when that fails. */
export function openAt(sealer: Sealer, sealed: Uint8Array, place: string): Buffer<ArrayBuffer> {
  const plain = Buffer.allocUnsafeSlow(Math.max(0, sealed.length - SEAL_OVERHEAD))
  try {
    sealer.open(sealed, plain)
    return plain
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause
    throw new HoldfastError(cause.code, `${place}: ${cause.message}`, { place, cause })
  }
}

type RepositoryParts = Omit<
  Repository,
  | 'index'
  | 'loadIndex'
  | 'listFiles'
  | 'loadUnpacked'
  | 'saveUnpacked'
  | 'removeFile'
  | 'loadBlob'
  | 'loadTree'
  | typeof Symbol.asyncDispose
>

/** The repository over parts already opened; also used by init, which has just made them. */
export function repositoryOn(parts: RepositoryParts): Repository {
  const { store, config, sealer } = parts
  const packs = openPackReader(store)
  const loading = createIndexLoader()
  let index: BlobIndex = createBlobIndex()
  const repository: Repository = {
    ...parts,
    get index() {
      return index
    },
    async loadIndex() {
      index = await loading.load(repository)
      return index
    },
    listFiles: async (type) => await Array.fromAsync(store.list(type)),
    async loadUnpacked(type, id) {
      const place = `${type}/${id}`
      const sealed = await store.load({ type, id })
      if (sha256Hex(sealed) !== id) {
        throw new HoldfastError('Damaged', `${place}: the content does not hash to the file's name`, {
          place,
          guidance: 'Run `holdfast archive check`; if the store is at fault, a later read may succeed.',
        })
      }
      return unframeUnpacked(openAt(sealer, sealed, place), place)
    },
    async saveUnpacked(type, json) {
      if (json.length > MAX_UNPACKED_BYTES) {
        throw new HoldfastError(
          'LimitExceeded',
          `a ${type} file of ${json.length} bytes is over the limit of ${MAX_UNPACKED_BYTES}`,
        )
      }
      const plain = config.version === 1 ? json : frameUnpacked(json)
      const sealed = Buffer.allocUnsafe(plain.length + SEAL_OVERHEAD)
      sealer.seal(plain, sealed)
      const id = sha256Hex(sealed)
      await store.save({ type, id }, sealed)
      return id
    },
    removeFile: async (type, id) => await store.remove({ type, id }),
    loadBlob: async (type, id) => await loadBlob(repository, packs, { type, id }),
    loadTree: async (id) => decodeTree(await loadBlob(repository, packs, { type: 'tree', id }), `tree ${id}`),
    async [Symbol.asyncDispose]() {
      packs.close()
      await store[Symbol.asyncDispose]()
    },
  }
  return repository
}

interface IndexLoader {
  load(repository: Repository): Promise<BlobIndex>
}

function createIndexLoader(): IndexLoader {
  let last: { readonly listing: string; readonly index: Promise<BlobIndex> } | undefined
  return {
    async load(repository) {
      const files = await repository.listFiles('index')
      const listing = files
        .map(({ id }) => id)
        .sort()
        .join()
      if (last?.listing !== listing) last = { listing, index: readIndex(repository, files) }
      const current = last
      try {
        return await current.index
      } catch (error) {
        // what failed once is read anew the next time
        if (last === current) last = undefined
        throw error
      }
    },
  }
}

async function readIndex(
  repository: Repository,
  files: readonly { readonly id: Hex; readonly size: number }[],
): Promise<BlobIndex> {
  const index = createBlobIndex(expectedBlobs(files))
  await mapConcurrently(files, repository.store.connections, async ({ id }) => {
    index.readIndexFile(id, await repository.loadUnpacked('index', id))
  })
  return index
}

async function loadBlob(
  repository: Repository,
  packs: PackReader,
  blob: { readonly type: BlobType; readonly id: Hex },
): Promise<Buffer<ArrayBuffer>> {
  const { type, id } = blob
  const copies = repository.index.find(type, id)
  if (copies.length === 0) {
    throw new HoldfastError('NotFound', `${type} blob ${id} is in no index`, {
      place: `${type} blob ${id}`,
      guidance: 'Run `holdfast archive check`; `repair index` finds blobs whose index was lost.',
    })
  }
  let failure: unknown
  for (const copy of copies) {
    try {
      return await loadCopy(repository, packs, { id, ...copy })
    } catch (error) {
      failure ??= error
    }
  }
  throw failure
}

async function loadCopy(
  repository: Repository,
  packs: PackReader,
  copy: BlobLocation & { readonly id: Hex },
): Promise<Buffer<ArrayBuffer>> {
  const { id, packId, offset, length } = copy
  const place = `pack ${packId}, offset ${offset}`
  if (length < SEAL_OVERHEAD || length > MAX_BLOB_BYTES + SEAL_OVERHEAD) {
    throw new HoldfastError('LimitExceeded', `${place}: blob ${id} has a stored length of ${length} bytes`, {
      place,
    })
  }
  const sealed = await packs.read(packId, offset, length)
  return openBlob(repository, sealed, { id, place, uncompressedLength: copy.uncompressedLength })
}

export interface SealedBlob {
  readonly id: Hex
  /** For messages. */
  readonly place: string
  readonly uncompressedLength: number
}

/** Opens, decompresses and hash-checks one blob. Throws Damaged naming `place`. */
export function openBlob(
  engine: { readonly sealer: Sealer; readonly primitives: Primitives },
  sealed: Uint8Array,
  blob: SealedBlob,
): Buffer<ArrayBuffer> {
  let plain = openAt(engine.sealer, sealed, blob.place)
  if (blob.uncompressedLength > 0) plain = decompressExactly(engine.primitives, plain, blob)
  if (sha256Hex(plain) !== blob.id) {
    throw new HoldfastError('Damaged', `${blob.place}: the content does not hash to blob ${blob.id}`, {
      place: blob.place,
    })
  }
  return plain
}

function decompressExactly(primitives: Primitives, frame: Uint8Array, blob: SealedBlob): Buffer<ArrayBuffer> {
  const { uncompressedLength: length, place } = blob
  if (length > MAX_BLOB_BYTES) {
    throw new HoldfastError(
      'LimitExceeded',
      `${place}: blob ${blob.id} claims ${length} bytes, over the limit of ${MAX_BLOB_BYTES}`,
      { place },
    )
  }
  const plain = Buffer.allocUnsafeSlow(length)
  const actual = primitives.decompress(frame, plain)
  if (actual !== length) {
    throw new HoldfastError(
      'Damaged',
      `${place}: blob ${blob.id} decodes to ${actual} bytes, ${length} expected`,
      { place },
    )
  }
  return plain
}
