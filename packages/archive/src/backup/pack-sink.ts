import { createPackBuilder, createVerifier, type PackBuilder } from '../engine/pack-builder.ts'
import type { Primitives } from '../engine/primitives.ts'
import type { Sealer } from '../engine/sealer.ts'
import type { Hex } from '../format/ids.ts'
import type { BlobType } from '../format/pack-header.ts'
import { indexEntry } from '../repository/index-writer.ts'
import { savePackSync } from '../stores/filesystem-write.ts'
import type { BackupMessage, BackupWorkerData, SavedCounts } from './backup-job.ts'

/** Packs written to disk but not yet known to be durable, per worker. */
const MAX_PENDING = 4

/** One worker's way out: new blobs go into its own packs, finished packs to the store or the main thread. */
export interface PackSink {
  save(type: BlobType, id: Hex, plain: Uint8Array): void
  /** Waits while too many packs are on their way to the disk. Throws what storing an earlier pack threw. */
  settle(): Promise<void>
  /** Finishes the open packs and waits until all are durable or handed over. */
  flush(): Promise<void>
  readonly counts: SavedCounts
}

export interface PackSinkParts {
  readonly primitives: Primitives
  readonly sealer: Sealer
  readonly post: (message: BackupMessage, transfer?: readonly ArrayBuffer[]) => void
  readonly charge: (stage: 'write', since: number) => void
}

export function createPackSink(data: BackupWorkerData, parts: PackSinkParts): PackSink {
  const { primitives, sealer, post } = parts
  const verify = data.verify ? createVerifier(primitives, sealer) : undefined
  const builder = (type: BlobType, compress: boolean): PackBuilder =>
    createPackBuilder({ type, primitives, sealer, compress, verify, packBytes: data.packBytes })
  const compressData = data.version === 2 && data.compressionLevel > 0
  // Two open packs, chosen at random, blur the order of chunk lengths that an observer of the store
  // could otherwise match against known files.
  const dataPacks = [builder('data', compressData), builder('data', compressData)] as const
  const treePack = builder('tree', data.version === 2)
  const counts: SavedCounts = {
    dataBlobs: 0,
    treeBlobs: 0,
    dataAdded: 0,
    dataAddedPacked: 0,
    treeAdded: 0,
    treeAddedPacked: 0,
  }
  const pending = new Set<Promise<void>>()
  let failure: unknown

  const finish = (pack: PackBuilder): void => {
    const finished = pack.finish()
    if (finished === undefined || data.dryRun) return
    const { id, bytes, blobs } = finished
    const entry = indexEntry(id, blobs)
    if (data.localDirectory === undefined) {
      pack.release()
      const message = {
        kind: 'upload',
        id,
        memory: bytes.buffer,
        length: bytes.length,
        entry,
        blobs: blobs.length,
      } as const
      post(message, [bytes.buffer])
      return
    }
    const since = performance.now()
    const written = savePackSync(data.localDirectory, id, bytes)
    const size = bytes.length
    parts.charge('write', since)
    const job = written.commit().then(
      () => post({ kind: 'stored', entry, blobs: blobs.length, bytes: size }),
      (error: unknown) => {
        failure ??= error
      },
    )
    pending.add(job)
    void job.finally(() => pending.delete(job))
  }
  const settle = async (limit: number): Promise<void> => {
    while (pending.size > limit) await Promise.race(pending)
    if (failure !== undefined) throw failure
  }
  return {
    counts,
    save(type, id, plain) {
      if (failure !== undefined) throw failure
      const pack = type === 'tree' ? treePack : dataPacks[Math.random() < 0.5 ? 0 : 1]
      if (!pack.accepts(plain.length)) finish(pack)
      count(counts, type, plain.length, pack.add(id, plain))
    },
    settle: async () => await settle(MAX_PENDING),
    async flush() {
      const [a, b] = dataPacks
      if (a.accepts(b.size)) b.moveInto(a)
      for (const pack of [a, b, treePack]) finish(pack)
      await settle(0)
    },
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
