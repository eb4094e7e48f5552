import type { Hex } from '../format/ids.ts'
import type { PackedBlob } from '../format/pack-header.ts'
import type { Repository } from './repository.ts'

/** Blobs per index file, as in restic; a pack's blobs are never split over two files. */
const MAX_INDEX_BLOBS = 50_000

/** An index is written at the latest this long after its first pack, so that a crash costs no more than that. */
const MAX_INDEX_AGE_MS = 5 * 60_000

/** Collects packs that are stored, and writes index files for them. */
export interface IndexWriter {
  /** `entry` is what indexEntry made. Writes an index file when enough have gathered. */
  add(entry: string, blobCount: number): Promise<void>
  /** Writes what is left; all index files written, in order. */
  flush(): Promise<readonly Hex[]>
}

/** A pack's part of an index file, as JSON: cheap to pass between threads, and written as it is. */
export function indexEntry(packId: Hex, blobs: readonly PackedBlob[]): string {
  const parts = blobs.map((blob) => {
    const plain = blob.uncompressedLength > 0 ? `,"uncompressed_length":${blob.uncompressedLength}` : ''
    return `{"id":"${blob.id}","type":"${blob.type}","offset":${blob.offset},"length":${blob.length}${plain}}`
  })
  return `{"id":"${packId}","blobs":[${parts.join(',')}]}`
}

export function openIndexWriter(repository: Repository): IndexWriter {
  const files: Hex[] = []
  let entries: string[] = []
  let blobs = 0
  let since = 0
  const write = async (): Promise<void> => {
    if (entries.length === 0) return
    const json = `{"packs":[${entries.join(',')}]}`
    entries = []
    blobs = 0
    files.push(await repository.saveUnpacked('index', Buffer.from(json)))
  }
  return {
    async add(entry, blobCount) {
      if (entries.length === 0) since = Date.now()
      entries.push(entry)
      blobs += blobCount
      if (blobs >= MAX_INDEX_BLOBS || Date.now() - since > MAX_INDEX_AGE_MS) await write()
    },
    async flush() {
      await write()
      return files
    },
  }
}
