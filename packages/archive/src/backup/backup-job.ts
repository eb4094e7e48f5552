import type { Hex } from '../format/ids.ts'

/** What every backup worker is told once. Keys travel as plain bytes, since Buffers do not survive the trip. */
export interface BackupWorkerData {
  readonly polynomial: bigint
  readonly masterKey: { readonly encrypt: Uint8Array; readonly macK: Uint8Array; readonly macR: Uint8Array }
  readonly portable: boolean
  /** zstd level for data; 0 stores it as it is. */
  readonly compressionLevel: number
  readonly version: 1 | 2
  readonly verify: boolean
  readonly packBytes: number
  /** Where packs go directly; without it they are handed to the main thread. */
  readonly localDirectory: string | undefined
  readonly dryRun: boolean
  readonly knownBlobs: readonly SharedArrayBuffer[]
  /** See upload-slots. */
  readonly uploadSlots: SharedArrayBuffer
  readonly reading: ReadingRules
}

/** How files are read and compared; the same in every thread. */
export interface ReadingRules {
  readonly ignoreCtime: boolean
  readonly ignoreInode: boolean
  readonly withAtime: boolean
  /** Plain bytes per chunk for every file, instead of content-defined chunks; 0 for those. */
  readonly fixedChunkBytes: number
  /** Device numbers of files with one link are left out, so that a volume mounted elsewhere keeps its trees. */
  readonly omitDeviceIds: boolean
  /** Files above this are left out; Infinity for none. */
  readonly maxFileBytes: number
}

export type BackupJob =
  /** Entries of one directory that are not directories. `kinds[i]` is `f` where the directory says it is a regular file. */
  | {
      readonly kind: 'files'
      readonly directory: string
      readonly names: readonly string[]
      readonly kinds: string
      readonly parentTree: Uint8Array | undefined
      /** The directory has no other entries. */
      readonly whole: boolean
    }
  /** Part of a large file, from a chunk boundary on. */
  | {
      readonly kind: 'segment'
      readonly chain: number
      readonly path: string
      readonly offset: number
      readonly fixedChunkBytes: number
    }
  /** Part of a stream, from a chunk boundary on. `last`: no bytes follow. */
  | {
      readonly kind: 'bytes'
      readonly chain: number
      readonly bytes: Uint8Array
      readonly last: boolean
      readonly fixedChunkBytes: number
    }
  | { readonly kind: 'tree'; readonly id: Hex; readonly json: Uint8Array }
  | { readonly kind: 'flush' }

/** How an entry compares with the parent snapshot. */
export const ENTRY_NEW = 0
export const ENTRY_MODIFIED = 1
export const ENTRY_UNCHANGED = 2
/** Not stored: vanished, unreadable, a socket, or over the size limit; `problems` may say more. */
export const ENTRY_SKIPPED = 3
/** Stored, but no regular file: a link, a pipe, a device. */
export const ENTRY_OTHER = 4
/** A large file: the main thread reads it in segments. Add the code of the comparison. */
export const ENTRY_LARGE = 8

export interface FilesResult {
  /** The directory is what the parent tree says, entry by entry; then there are no nodes, as that tree can be used. */
  readonly identical: boolean
  /** Encoded nodes one after the other, as UTF-8. */
  readonly nodes: Uint8Array<ArrayBuffer>
  /** Three numbers per name: bytes of its node (0 where there is none), its ENTRY_ code, its size in bytes. */
  readonly entries: Float64Array<ArrayBuffer>
  readonly problems: readonly EntryProblem[]
}

export interface EntryProblem {
  readonly path: string
  /** False for a note: the entry was stored, but changed meanwhile or lost an attribute. */
  readonly fatal: boolean
  readonly message: string
}

export interface SegmentResult {
  readonly content: readonly Hex[]
  readonly length: number
}

export interface FlushResult {
  readonly counts: SavedCounts
  /** CPU milliseconds by stage of this worker. */
  readonly stages: Readonly<Record<string, number>>
}

export interface SavedCounts {
  dataBlobs: number
  treeBlobs: number
  /** Plain bytes of new blobs, and their sealed bytes. */
  dataAdded: number
  dataAddedPacked: number
  treeAdded: number
  treeAddedPacked: number
}

export type BackupAnswer = FilesResult | SegmentResult | FlushResult | undefined

/** What a worker posts on its own. */
export type BackupMessage =
  /** A segment's extent is known, before its bytes are hashed: the next one can begin. */
  | { readonly kind: 'next'; readonly chain: number; readonly offset: number; readonly eof: boolean }
  /** A pack is durable. */
  | { readonly kind: 'stored'; readonly entry: string; readonly blobs: number; readonly bytes: number }
  /** A pack to be stored by the main thread. */
  | {
      readonly kind: 'upload'
      readonly id: Hex
      readonly memory: ArrayBuffer
      readonly length: number
      readonly entry: string
      readonly blobs: number
    }
