import type { TreeNode } from '../format/tree.ts'
import { type BlobRefs, createBlobRefs } from './blob-refs.ts'
import type { TargetDirectory } from './target-tree.ts'

/** A regular file on its way into the target. */
export interface PlannedFile {
  readonly directory: TargetDirectory
  readonly path: string
  readonly node: TreeNode
  readonly mtimeNs: bigint
  /** Something under the final name: gone first (`replace`), or written into (`compare`). */
  readonly decision: 'create' | 'replace' | 'compare'
  /**
   * The name being written: a file of several blobs that did not exist carries a name of its own
   * until it is complete.
   */
  writeName: string
  /** Exactly one blob: the worker does everything. */
  readonly oneShot: boolean
  /** A file is already there under `writeName`, whose blobs may match. */
  readonly existing: boolean
  /** Size of that file. */
  readonly existingSize: number
  /** When further names of the same inode may follow. */
  readonly anchor: LinkAnchor | undefined
  /** Bytes of the blobs queued so far. */
  bytes: number
  /** Bytes that have to be written. */
  missing: number
  prepared: boolean
  failed: boolean
}

/** The first name of a hard-linked file. */
export interface LinkAnchor {
  readonly directory: string
  readonly name: string
  readonly path: string
  /** Tells two files apart that claim the same inode. */
  readonly content: string
  failed: boolean
}

export interface PlannedLink {
  readonly directory: TargetDirectory
  readonly path: string
  readonly node: TreeNode
  readonly mtimeNs: bigint
  readonly anchor: LinkAnchor
}

/** A bounded part of a restore: everything the walk met until one of its limits was reached. */
export interface RestoreBatch {
  readonly files: PlannedFile[]
  /** Those of `files` whose last blob is in this batch. */
  readonly completing: PlannedFile[]
  readonly refs: BlobRefs
  readonly links: PlannedLink[]
  /** Directories that nothing more comes for, children before parents. */
  readonly left: TargetDirectory[]
}

export interface BatchLimits {
  readonly refs: number
  readonly entries: number
}

/** The first batch is small, so that workers start early; the largest bounds memory to some 25 MB each. */
export const FIRST_BATCH: BatchLimits = { refs: 4096, entries: 2048 }
export const LARGEST_BATCH: BatchLimits = { refs: 65_536, entries: 16_384 }

export function createBatch(limits: BatchLimits): RestoreBatch {
  return { files: [], completing: [], refs: createBlobRefs(limits.refs), links: [], left: [] }
}

export function isFull(batch: RestoreBatch, limits: BatchLimits): boolean {
  return batch.files.length + batch.links.length + batch.left.length >= limits.entries || !hasRoom(batch)
}

export function hasRoom(batch: RestoreBatch): boolean {
  return batch.refs.count < batch.refs.capacity
}

/** Limits of the batch after one with `limits`. */
export function nextLimits(limits: BatchLimits): BatchLimits {
  return {
    refs: Math.min(LARGEST_BATCH.refs, limits.refs * 4),
    entries: Math.min(LARGEST_BATCH.entries, limits.entries * 4),
  }
}
