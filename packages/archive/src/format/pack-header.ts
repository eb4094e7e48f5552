import { HoldfastError } from '@holdfast/contract'
import type { Hex } from './ids.ts'
import { damaged } from './json-document.ts'

export type BlobType = 'data' | 'tree'

/** One blob in a pack. */
export interface PackedBlob {
  readonly type: BlobType
  readonly id: Hex
  readonly offset: number
  /** Of the sealed blob as it lies in the pack. */
  readonly length: number
  /** Of the blob itself when it is compressed; 0 when it is stored plain. */
  readonly uncompressedLength: number
}

/** The largest sealed header restic reads. */
export const MAX_SEALED_HEADER_BYTES = 16 * 1024 * 1024
/** Bytes by which a sealed blob is longer than what was sealed: IV and MAC. */
export const SEAL_OVERHEAD = 32
/** Bytes a header takes for one blob at most. */
export const MAX_HEADER_ENTRY_BYTES = 41

/** Length of the plaintext header for these blobs. */
export function packHeaderLength(blobs: readonly PackedBlob[]): number {
  let length = 0
  for (const blob of blobs) length += blob.uncompressedLength === 0 ? PLAIN_ENTRY : COMPRESSED_ENTRY
  return length
}

/**
 * The plaintext header of a pack with these blobs, which must lie in it one after the other. It is to
 * be sealed, and followed by the sealed length as a little-endian 32-bit integer.
 */
export function encodePackHeader(blobs: readonly PackedBlob[]): Buffer {
  const header = Buffer.allocUnsafe(packHeaderLength(blobs))
  if (header.length + SEAL_OVERHEAD > MAX_SEALED_HEADER_BYTES)
    throw internal(`a pack with ${blobs.length} blobs`)
  let at = 0
  let offset = 0
  for (const blob of blobs) {
    if (blob.offset !== offset) throw internal(`blob ${blob.id} at ${blob.offset} instead of ${offset}`)
    offset += blob.length
    const compressed = blob.uncompressedLength !== 0
    header[at] = (compressed ? 2 : 0) + (blob.type === 'tree' ? 1 : 0)
    header.writeUInt32LE(blob.length, at + 1)
    if (compressed) header.writeUInt32LE(blob.uncompressedLength, at + 5)
    at += compressed ? COMPRESSED_ENTRY : PLAIN_ENTRY
    if (header.write(blob.id, at - 32, 32, 'hex') !== 32) throw internal(`the blob id ${blob.id}`)
  }
  return header
}

/**
 * The blobs that an opened pack header lists, with the offsets it implies. Throws LimitExceeded for a
 * header over 16 MiB or a pack over 4 GiB, Damaged for an unknown type or an impossible length.
 */
export function decodePackHeader(bytes: Uint8Array, place: string): readonly PackedBlob[] {
  if (bytes.length > MAX_SEALED_HEADER_BYTES)
    throw tooLong(`the pack header has ${bytes.length} bytes`, place)
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const blobs: PackedBlob[] = []
  let offset = 0
  for (let at = 0; at < header.length; ) {
    const entry = readEntry(header, at, place)
    blobs.push({ ...entry.blob, offset })
    offset += entry.blob.length
    if (offset > MAX_PACK_BYTES) throw tooLong(`the blobs up to here have ${offset} bytes`, `${place}@${at}`)
    at = entry.next
  }
  return blobs
}

const PLAIN_ENTRY = 37
const COMPRESSED_ENTRY = 41
const MAX_PACK_BYTES = 0xffffffff

interface Entry {
  readonly blob: Omit<PackedBlob, 'offset'>
  readonly next: number
}

function readEntry(header: Buffer, at: number, place: string): Entry {
  const kind = header[at] ?? 0
  if (kind > 3) throw damaged(`found blob type ${kind} in the pack header, expected 0 to 3`, `${place}@${at}`)
  const next = at + (kind < 2 ? PLAIN_ENTRY : COMPRESSED_ENTRY)
  if (next > header.length) {
    throw damaged(
      `the pack header ends ${next - header.length} bytes before its last entry does`,
      `${place}@${at}`,
    )
  }
  const length = header.readUInt32LE(at + 1)
  const uncompressedLength = kind < 2 ? 0 : header.readUInt32LE(at + 5)
  if (length < SEAL_OVERHEAD) {
    throw damaged(
      `found a blob of ${length} sealed bytes, expected at least ${SEAL_OVERHEAD}`,
      `${place}@${at}`,
    )
  }
  if (kind >= 2 && uncompressedLength === 0) {
    throw damaged('found a compressed blob of length 0, expected at least 1', `${place}@${at}`)
  }
  const type = kind % 2 === 0 ? 'data' : 'tree'
  return { blob: { type, id: header.toString('hex', next - 32, next), length, uncompressedLength }, next }
}

function tooLong(message: string, place: string): HoldfastError {
  return new HoldfastError('LimitExceeded', `${message}, more than the format allows`, {
    place,
    retry: 'never',
  })
}

function internal(what: string): HoldfastError {
  return new HoldfastError('Internal', `cannot write a pack header: ${what}`)
}
