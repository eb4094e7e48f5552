import type { Hex } from '../format/ids.ts'
import type { BlobLocation } from '../repository/blob-index.ts'

/**
 * "This blob belongs at this offset of that file", many times, in flat arrays: about 67 bytes each.
 * A batch holds a bounded number of them, so that restoring a hundred million blobs needs no more
 * memory than restoring a hundred thousand.
 */
export interface BlobRefs {
  readonly capacity: number
  count: number
  /** Number of the file within the batch. */
  readonly file: Uint32Array
  readonly fileOffset: Float64Array
  /** Index into `packIds`. */
  readonly pack: Uint32Array
  readonly packOffset: Uint32Array
  readonly sealedLength: Uint32Array
  readonly plainLength: Uint32Array
  readonly compressed: Uint8Array
  /** 1 when the target already holds these bytes. */
  readonly inPlace: Uint8Array
  /** 32 bytes each. */
  readonly ids: Buffer
  /** In order of first use, which is about the order they were written in. */
  readonly packIds: Hex[]
  readonly packNumbers: Map<Hex, number>
}

/** Room for `capacity` references. */
export function createBlobRefs(capacity: number): BlobRefs {
  return {
    capacity,
    count: 0,
    file: new Uint32Array(capacity),
    fileOffset: new Float64Array(capacity),
    pack: new Uint32Array(capacity),
    packOffset: new Uint32Array(capacity),
    sealedLength: new Uint32Array(capacity),
    plainLength: new Uint32Array(capacity),
    compressed: new Uint8Array(capacity),
    inPlace: new Uint8Array(capacity),
    ids: Buffer.allocUnsafeSlow(capacity * 32),
    packIds: [],
    packNumbers: new Map(),
  }
}

export interface BlobRef {
  readonly file: number
  readonly fileOffset: number
  readonly id: Hex
  readonly location: BlobLocation
}

/** Appends one reference; the caller looks at `count` and `capacity` first. */
export function addBlobRef(refs: BlobRefs, { file, fileOffset, id, location }: BlobRef): void {
  const i = refs.count++
  refs.file[i] = file
  refs.fileOffset[i] = fileOffset
  refs.pack[i] = packNumber(refs, location.packId)
  refs.packOffset[i] = location.offset
  refs.sealedLength[i] = location.length
  refs.plainLength[i] = plainLengthOf(location)
  refs.compressed[i] = location.uncompressedLength > 0 ? 1 : 0
  refs.inPlace[i] = 0
  refs.ids.write(id, i * 32, 'hex')
}

/** Bytes a blob decodes to. */
export function plainLengthOf(location: BlobLocation): number {
  return location.uncompressedLength > 0 ? location.uncompressedLength : location.length - 32
}

/** The id of one reference as hex. */
export function blobIdOf(refs: BlobRefs, i: number): Hex {
  return refs.ids.toString('hex', i * 32, i * 32 + 32)
}

function packNumber(refs: BlobRefs, id: Hex): number {
  const known = refs.packNumbers.get(id)
  if (known !== undefined) return known
  const number = refs.packIds.push(id) - 1
  refs.packNumbers.set(id, number)
  return number
}
