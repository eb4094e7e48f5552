import type { ErrorCode } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { MasterKey } from '../format/key-file.ts'
import type { MetadataProblem, Rights, Xattr } from './apply-metadata.ts'

/** What every restore worker is told once. Descriptors are of the process, so threads share them. */
export interface RestoreWorkerData {
  readonly masterKey: MasterKey
  readonly rootFd: number
  readonly rights: Rights
  /** Packs are read from here directly; otherwise each job brings its bytes. */
  readonly localDirectory: string | undefined
  readonly portable: boolean
}

/** The job writes the file's only blob: it makes or updates the file and finishes it in one go. */
export const ONE_SHOT = 1
/** A file of that name exists and is written into; otherwise (and only when ONE_SHOT) it must not exist. */
export const EXISTING = 2
/** Zero blocks become holes. */
export const SPARSE = 4
/** What has not been written reads as zero, so a hole needs no punching. */
export const ZERO_FILLED = 8
/** See Metadata.removeOthers. */
export const REMOVE_OTHERS = 16

/** The files of one job, by column: an object each would cost more to send than many files to write. */
export interface JobFiles {
  /** Directories by path below the root. */
  readonly directories: readonly string[]
  readonly directory: Uint32Array
  readonly names: readonly string[]
  readonly flags: Uint8Array
  readonly size: Float64Array
  readonly mode: Uint32Array
  readonly uid: Uint32Array
  readonly gid: Uint32Array
  /** Access and modification time of each, nanoseconds. */
  readonly times: BigInt64Array
  readonly xattrs: ReadonlyMap<number, readonly Xattr[]>
}

/** Bytes of a pack, fetched by the main thread. */
export interface SealedRange {
  readonly offset: number
  readonly bytes: ArrayBuffer
}

/** Write blobs of one pack to where they belong. */
export interface PackJob {
  readonly kind: 'pack'
  readonly packId: Hex
  /** Distinct blobs, ascending by offset. */
  readonly offsets: Uint32Array
  readonly sealedLengths: Uint32Array
  readonly plainLengths: Uint32Array
  readonly compressed: Uint8Array
  readonly ids: Uint8Array
  /** Targets of blob i: from targetStart[i] to targetStart[i + 1]. */
  readonly targetStart: Uint32Array
  readonly targetFile: Uint32Array
  readonly targetOffset: Float64Array
  readonly files: JobFiles
  readonly ranges: readonly SealedRange[] | undefined
}

/** Tell which of the blobs named are where they should be. */
export interface ScanJob {
  readonly kind: 'scan'
  readonly files: JobFiles
  readonly file: Uint32Array
  readonly fileOffset: Float64Array
  readonly plainLength: Uint32Array
  readonly ids: Uint8Array
}

export type RestoreJob = PackJob | ScanJob

export interface BlobFailure {
  readonly blob: number
  readonly code: ErrorCode
  readonly message: string
}

export interface TargetFailure {
  readonly target: number
  readonly message: string
}

export interface PackJobResult {
  readonly kind: 'pack'
  /** Plain bytes written, holes not counted. */
  readonly bytesWritten: number
  readonly badBlobs: readonly BlobFailure[]
  readonly badTargets: readonly TargetFailure[]
  readonly problems: readonly { readonly file: number; readonly problem: MetadataProblem }[]
}

export interface ScanJobResult {
  readonly kind: 'scan'
  /** 1 for each blob found in place. */
  readonly inPlace: Uint8Array
}

export type RestoreJobResult = PackJobResult | ScanJobResult
