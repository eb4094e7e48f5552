import {
  createPackBuilder,
  createVerifier,
  type FinishedPack,
  type PackBuilder,
} from '../engine/pack-builder.ts'
import type { Primitives } from '../engine/primitives.ts'
import type { Sealer } from '../engine/sealer.ts'
import type { Hex } from '../format/ids.ts'
import type { BlobType } from '../format/pack-header.ts'
import { indexEntry } from '../repository/index-writer.ts'
import { savePackSync } from '../stores/filesystem-write.ts'
import type { BackupMessage, BackupWorkerData, SavedCounts } from './backup-job.ts'
import { openUploadSlots, type UploadSlots } from './upload-slots.ts'

/** Packs written to disk but not yet known to be durable, per worker. */
const MAX_PENDING = 4

export interface PackSinkParts {
  readonly primitives: Primitives
  readonly sealer: Sealer
  readonly post: (message: BackupMessage, transfer?: readonly ArrayBuffer[]) => void
  readonly charge: (stage: 'write', since: number) => void
}

/** One worker's way out: new blobs go into its own packs, finished packs to the store or the main thread. */
export class PackSink {
  readonly counts: SavedCounts = {
    dataBlobs: 0,
    treeBlobs: 0,
    dataAdded: 0,
    dataAddedPacked: 0,
    treeAdded: 0,
    treeAddedPacked: 0,
  }
  readonly #data: BackupWorkerData
  readonly #parts: PackSinkParts
  readonly #dataPacks: readonly [PackBuilder, PackBuilder]
  readonly #treePack: PackBuilder
  readonly #slots: UploadSlots
  readonly #pending = new Set<Promise<void>>()
  #failure: unknown

  constructor(data: BackupWorkerData, parts: PackSinkParts) {
    const { primitives, sealer } = parts
    const verify = data.verify ? createVerifier(primitives, sealer) : undefined
    const builder = (type: BlobType, compress: boolean): PackBuilder =>
      createPackBuilder({ type, primitives, sealer, compress, verify, packBytes: data.packBytes })
    const compressData = data.version === 2 && data.compressionLevel > 0
    this.#data = data
    this.#slots = openUploadSlots(data.uploadSlots)
    this.#parts = parts
    // Two open packs, chosen at random, blur the order of chunk lengths that an observer of the store
    // could otherwise match against known files.
    this.#dataPacks = [builder('data', compressData), builder('data', compressData)]
    this.#treePack = builder('tree', data.version === 2)
  }

  /** Adds a new blob. Throws what storing an earlier pack threw. */
  save(type: BlobType, id: Hex, plain: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure
    const pack = type === 'tree' ? this.#treePack : this.#dataPacks[Math.random() < 0.5 ? 0 : 1]
    if (!pack.accepts(plain.length)) this.#finish(pack)
    count(this.counts, type, plain.length, pack.add(id, plain))
  }

  /** Waits while too many packs are on their way to the disk. Throws what storing an earlier pack threw. */
  async settle(limit = MAX_PENDING): Promise<void> {
    while (this.#pending.size > limit) await Promise.race(this.#pending)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Finishes the open packs and waits until all are durable or handed over. */
  async flush(): Promise<void> {
    const [first, second] = this.#dataPacks
    if (first.accepts(second.size, second.count)) second.moveInto(first)
    for (const pack of [first, second, this.#treePack]) this.#finish(pack)
    await this.settle(0)
  }

  #finish(pack: PackBuilder): void {
    const finished = pack.finish()
    if (finished === undefined || this.#data.dryRun) return
    if (this.#data.localDirectory === undefined) {
      pack.release()
      this.#handOver(finished)
      return
    }
    const job = this.#writePack(this.#data.localDirectory, finished).catch((error: unknown) => {
      this.#failure ??= error
    })
    this.#pending.add(job)
    void job.finally(() => this.#pending.delete(job))
  }

  #handOver({ id, bytes, blobs }: FinishedPack): void {
    this.#slots.enter()
    const entry = indexEntry(id, blobs)
    const pack = {
      kind: 'upload',
      id,
      memory: bytes.buffer,
      length: bytes.length,
      entry,
      blobs: blobs.length,
    } as const
    this.#parts.post(pack, [bytes.buffer])
  }

  /** Its bytes are in the page cache when this returns, so that the memory can be used again; durable when it resolves. */
  async #writePack(directory: string, { id, bytes, blobs }: FinishedPack): Promise<void> {
    const since = performance.now()
    const size = bytes.length
    const written = savePackSync(directory, id, bytes)
    this.#parts.charge('write', since)
    await written.commit()
    this.#parts.post({ kind: 'stored', entry: indexEntry(id, blobs), blobs: blobs.length, bytes: size })
  }
}

function count(counts: SavedCounts, type: BlobType, plain: number, sealed: number): void {
  if (type === 'tree') {
    counts.treeBlobs++
    counts.treeAdded += plain
    counts.treeAddedPacked += sealed
  } else {
    counts.dataBlobs++
    counts.dataAdded += plain
    counts.dataAddedPacked += sealed
  }
}
