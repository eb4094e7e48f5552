import { createPackBuilder, createVerifier, type PackBuilder } from '../engine/pack-builder.ts'
import type { Hex } from '../format/ids.ts'
import type { IndexPack } from '../format/index-file.ts'
import type { BlobType } from '../format/pack-header.ts'
import { indexEntry, openIndexWriter } from './index-writer.ts'
import type { Repository } from './repository.ts'

export interface BlobWriterOptions {
  readonly packBytes?: number
  /** False when the caller writes the index itself, from the packs that flush returns. Default true. */
  readonly writeIndex?: boolean
}

export interface WrittenBlobs {
  readonly packs: readonly IndexPack[]
  readonly indexFiles: readonly Hex[]
  /** Bytes of pack files stored. */
  readonly packedBytes: number
}

/**
 * Writes blobs into packs from one thread: for maintenance, where the source is another pack. Data
 * and trees go to separate packs. It does not deduplicate: the caller knows what is needed.
 */
export interface BlobWriter {
  /** Compresses as the repository does, seals, verifies and packs. Resolves when there is room for more. */
  save(type: BlobType, id: Hex, plain: Uint8Array): Promise<void>
  /** Packs a blob that this repository's key has sealed before, as it is; the caller has verified it. */
  saveSealed(
    type: BlobType,
    id: Hex,
    sealed: { readonly bytes: Uint8Array; readonly uncompressedLength: number },
  ): Promise<void>
  /** Stores what is open. When it resolves, every pack is durable and, unless turned off, indexed. */
  flush(): Promise<WrittenBlobs>
}

export function openBlobWriter(repository: Repository, options: BlobWriterOptions = {}): BlobWriter {
  const { store, primitives, sealer } = repository
  const verify = createVerifier(primitives, sealer)
  const builder = (type: BlobType): PackBuilder =>
    createPackBuilder({
      type,
      primitives,
      sealer,
      compress: repository.config.version === 2 && (type === 'tree' || repository.compressionLevel > 0),
      verify,
      ...(options.packBytes === undefined ? {} : { packBytes: options.packBytes }),
    })
  const builders = { data: builder('data'), tree: builder('tree') }
  const index = options.writeIndex === false ? undefined : openIndexWriter(repository)
  const packs: IndexPack[] = []
  const saving = new Set<Promise<void>>()
  let packedBytes = 0

  const storePack = async (id: Hex, bytes: Uint8Array, pack: IndexPack): Promise<void> => {
    await store.save({ type: 'pack', id }, bytes)
    packs.push(pack)
    packedBytes += bytes.length
    await index?.add(indexEntry(id, pack.blobs), pack.blobs.length)
  }
  const finish = async (type: BlobType): Promise<void> => {
    const pack = builders[type].finish()
    if (pack === undefined) return
    builders[type].release()
    const job = storePack(pack.id, pack.bytes, { id: pack.id, blobs: pack.blobs })
    // counted as handled here; awaited below or in flush, where its failure is thrown
    job.catch(() => undefined)
    saving.add(job)
    if (saving.size < Math.max(2, store.connections)) return
    const [oldest] = saving
    if (oldest === undefined) return
    await oldest
    saving.delete(oldest)
  }
  return {
    async save(type, id, plain) {
      if (!builders[type].accepts(plain.length)) await finish(type)
      builders[type].add(id, plain)
    },
    async saveSealed(type, id, sealed) {
      if (!builders[type].accepts(sealed.bytes.length)) await finish(type)
      builders[type].addSealed(id, sealed.bytes, sealed.uncompressedLength)
    },
    async flush() {
      await finish('data')
      await finish('tree')
      for (const job of saving) await job
      saving.clear()
      return { packs, indexFiles: (await index?.flush()) ?? [], packedBytes }
    },
  }
}
