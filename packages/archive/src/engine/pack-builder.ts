import { HoldfastError } from '@holdfast/contract'
import { type Hex, sha256Hex } from '../format/ids.ts'
import {
  type BlobType,
  encodePackHeader,
  MAX_HEADER_ENTRY_BYTES,
  type PackedBlob,
  SEAL_OVERHEAD,
} from '../format/pack-header.ts'
import type { Primitives } from './primitives.ts'
import type { Sealer } from './sealer.ts'

/** Pack size aimed at, in bytes, as restic's default. */
export const DEFAULT_PACK_BYTES = 16 * 1024 * 1024

/** Blobs in one pack at most: keeps its header under 1.4 MB (41 bytes each), where the format allows 16 MiB. */
const MAX_PACK_BLOBS = 32768
const HEADER_ROOM = MAX_PACK_BLOBS * MAX_HEADER_ENTRY_BYTES + SEAL_OVERHEAD + 4

export interface PackBuilderOptions {
  readonly type: BlobType
  readonly primitives: Primitives
  readonly sealer: Sealer
  /** False stores blobs as they are. */
  readonly compress: boolean
  /** Opens each blob again as it will be read, and compares its hash, before it may leave the machine. */
  readonly verify: Verifier | undefined
  readonly packBytes?: number
}

/** A pack ready to be stored. `bytes` is the builder's own memory: valid until it is used again. */
export interface FinishedPack {
  readonly id: Hex
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly blobs: readonly PackedBlob[]
}

/** Builds packs of one blob type, one after the other, in one buffer. Blobs are compressed and sealed in place. */
export interface PackBuilder {
  readonly count: number
  /** Bytes of sealed blobs so far. */
  readonly size: number
  /** False when the pack must be finished before blobs of this plain length in all (one, unless said) are added. */
  accepts(plainLength: number, blobs?: number): boolean
  /** Compresses if that helps, seals, verifies; the sealed length. `id` must be the SHA-256 of `plain`. */
  add(id: Hex, plain: Uint8Array): number
  /** Adds a blob sealed with the same key before, as it is. */
  addSealed(id: Hex, sealed: Uint8Array, uncompressedLength: number): void
  /** Moves every blob of this pack, as sealed, into another builder of the same type that accepts them. */
  moveInto(other: PackBuilder): void
  /** Writes the header and names the pack; undefined when it is empty. The builder is empty afterwards. */
  finish(): FinishedPack | undefined
  /** Gives the last pack's memory away (to transfer it); the next pack gets new memory. */
  release(): void
}

export function createPackBuilder(options: PackBuilderOptions): PackBuilder {
  const { type, primitives, sealer } = options
  const packBytes = options.packBytes ?? DEFAULT_PACK_BYTES
  let memory: Uint8Array<ArrayBuffer> | undefined
  let size = 0
  let blobs: PackedBlob[] = []

  const room = (plainLength: number): Uint8Array<ArrayBuffer> => {
    const needed = size + plainLength + SEAL_OVERHEAD + HEADER_ROOM
    if (memory === undefined || memory.length < needed) {
      const larger = new Uint8Array(Math.max(needed, packBytes + HEADER_ROOM))
      if (memory !== undefined) larger.set(memory.subarray(0, size))
      memory = larger
    }
    return memory
  }
  const record = (id: Hex, length: number, uncompressedLength: number): void => {
    blobs.push({ type, id, offset: size, length, uncompressedLength })
    size += length
  }
  return {
    get count() {
      return blobs.length
    },
    get size() {
      return size
    },
    accepts: (plainLength, more = 1) =>
      blobs.length + more <= MAX_PACK_BLOBS &&
      (blobs.length === 0 || size + plainLength + SEAL_OVERHEAD <= packBytes),
    add(id, plain) {
      const target = room(plain.length).subarray(size)
      // one byte less than the plain text: a frame that saves nothing is not worth decoding later
      const frame = target.subarray(16, 16 + Math.max(0, plain.length - 1))
      const compressed = options.compress && plain.length > 1 ? primitives.compress(plain, frame) : 0
      const length = sealer.seal(compressed > 0 ? frame.subarray(0, compressed) : plain, target)
      const uncompressedLength = compressed > 0 ? plain.length : 0
      options.verify?.(id, target.subarray(0, length), uncompressedLength)
      record(id, length, uncompressedLength)
      return length
    },
    addSealed(id, sealed, uncompressedLength) {
      room(sealed.length).set(sealed, size)
      record(id, sealed.length, uncompressedLength)
    },
    moveInto(other) {
      if (memory === undefined) return
      for (const { id, offset, length, uncompressedLength } of blobs) {
        other.addSealed(id, memory.subarray(offset, offset + length), uncompressedLength)
      }
      blobs = []
      size = 0
    },
    finish() {
      if (memory === undefined || blobs.length === 0) return undefined
      const header = encodePackHeader(blobs)
      const sealedHeader = sealer.seal(header, memory.subarray(size))
      new DataView(memory.buffer).setUint32(size + sealedHeader, sealedHeader, true)
      const bytes = memory.subarray(0, size + sealedHeader + 4)
      const finished = { id: sha256Hex(bytes), bytes, blobs }
      blobs = []
      size = 0
      return finished
    },
    release() {
      memory = undefined
    },
  }
}

/** Throws Damaged unless `sealed` opens, decodes and hashes to `id`. */
export type Verifier = (id: Hex, sealed: Uint8Array, uncompressedLength: number) => void

/**
 * Reads a freshly sealed blob back the way a restore will. It catches what a wrong compressor, a
 * wrong cipher or a flipped bit in memory would otherwise write for good (restic does the same since
 * 0.16, after a compressor bug). Scratch memory grows to the largest blob met.
 */
export function createVerifier(primitives: Primitives, sealer: Sealer): Verifier {
  let opened = Buffer.allocUnsafeSlow(1 << 20)
  let decoded = Buffer.allocUnsafeSlow(1 << 20)
  const hash = Buffer.alloc(32)
  return (id, sealed, uncompressedLength) => {
    if (opened.length < sealed.length) opened = Buffer.allocUnsafeSlow(sealed.length)
    const length = sealer.open(sealed, opened)
    let plain = opened.subarray(0, length)
    if (uncompressedLength > 0) {
      if (decoded.length < uncompressedLength) decoded = Buffer.allocUnsafeSlow(uncompressedLength)
      plain = decoded.subarray(0, primitives.decompress(plain, decoded.subarray(0, uncompressedLength)))
    }
    primitives.sha256(plain, hash)
    if (hash.toString('hex') === id) return
    throw new HoldfastError(
      'Damaged',
      `blob ${id} read back differently before it was stored; nothing was written of it`,
      {
        guidance:
          'This points at faulty memory or a faulty library. Test the machine before backing up again.',
      },
    )
  }
}
