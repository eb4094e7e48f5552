import { isHoldfastError } from '@holdfast/contract'
import type { Primitives } from '../engine/primitives.ts'
import type { Sealer } from '../engine/sealer.ts'
import type { Hex } from '../format/ids.ts'
import { decodePackHeader, type PackedBlob, SEAL_OVERHEAD } from '../format/pack-header.ts'
import { MAX_BLOB_BYTES } from '../repository/repository.ts'
import { sealedHeaderLength } from './read-pack-header.ts'

/** One thing wrong with a pack. `offset` in bytes from its start, where that is known. */
export interface PackFault {
  readonly offset: number | undefined
  readonly blob: Hex | undefined
  readonly message: string
}

export interface PackVerifier {
  /**
   * Verifies a whole pack against its name and the index: SHA-256 of the file, header against index, and each
   * blob's place, MAC, decompression, length and hash. Goes on after a fault, and lists them all.
   */
  verify(id: Hex, bytes: Buffer, indexed: readonly PackedBlob[]): readonly PackFault[]
}

export interface VerifierEngine {
  readonly primitives: Primitives
  readonly sealer: Sealer
}

/** More faults than this in one pack say nothing new. */
const maxFaults = 100
const lengthBytes = 4

/** Reuses its memory from pack to pack; one per thread. */
export function createPackVerifier(engine: VerifierEngine): PackVerifier {
  const scratch: Scratch = { opened: Buffer.alloc(0), plain: Buffer.alloc(0), digest: Buffer.alloc(32) }
  return {
    verify(id, bytes, indexed) {
      const faults: PackFault[] = []
      const fault = (offset: number | undefined, blob: Hex | undefined, message: string): void => {
        if (faults.length < maxFaults) {
          faults.push({ offset, blob, message })
        }
      }
      engine.primitives.sha256(bytes, scratch.digest)
      if (scratch.digest.toString('hex') !== id) {
        fault(
          undefined,
          undefined,
          `the file's content hashes to ${scratch.digest.toString('hex')}, not to its name`,
        )
      }
      verifyHeader(engine, { id, bytes, indexed }, fault)
      for (const blob of indexed) {
        verifyBlob(engine, { bytes, blob }, scratch, fault)
      }
      return faults
    },
  }
}

interface Scratch {
  opened: Buffer
  plain: Buffer
  readonly digest: Buffer
}

type OnFault = (offset: number | undefined, blob: Hex | undefined, message: string) => void

function verifyHeader(
  engine: VerifierEngine,
  pack: { readonly id: Hex; readonly bytes: Buffer; readonly indexed: readonly PackedBlob[] },
  fault: OnFault,
): void {
  const { bytes, indexed } = pack
  let at = bytes.length - lengthBytes
  let listed: readonly PackedBlob[]
  try {
    at -= sealedHeaderLength(bytes, bytes.length, `pack/${pack.id}`)
    const plain = Buffer.alloc(bytes.length - lengthBytes - at - SEAL_OVERHEAD)
    engine.sealer.open(bytes.subarray(at, bytes.length - lengthBytes), plain)
    listed = decodePackHeader(plain, `pack/${pack.id} header`)
  } catch (error) {
    fault(Math.max(0, at), undefined, `the header cannot be read: ${reasonOf(error)}`)
    return
  }
  const end = listed.reduce((sum, blob) => sum + blob.length, 0)
  if (end !== at) {
    fault(at, undefined, `the header starts at ${at}; its blobs end at ${end}`)
  }
  if (listed.length === indexed.length && listed.every((blob, i) => isSameBlob(blob, indexed[i]))) {
    return
  }
  const key = (blob: PackedBlob): string =>
    `${blob.type} ${blob.id} ${blob.offset} ${blob.length} ${blob.uncompressedLength}`
  const inIndex = new Set(indexed.map(key))
  const inHeader = new Set(listed.map(key))
  for (const blob of listed.filter((candidate) => !inIndex.has(key(candidate)))) {
    fault(
      blob.offset,
      blob.id,
      `the header lists a ${blob.type} blob here that the index does not have at this place`,
    )
  }
  for (const blob of indexed.filter((candidate) => !inHeader.has(key(candidate)))) {
    fault(
      blob.offset,
      blob.id,
      `the index has a ${blob.type} blob here that the header does not list at this place`,
    )
  }
}

function isSameBlob(a: PackedBlob, b: PackedBlob | undefined): boolean {
  return (
    a.id === b?.id &&
    a.type === b.type &&
    a.offset === b.offset &&
    a.length === b.length &&
    a.uncompressedLength === b.uncompressedLength
  )
}

function verifyBlob(
  engine: VerifierEngine,
  { bytes, blob }: { readonly bytes: Buffer; readonly blob: PackedBlob },
  scratch: Scratch,
  fault: OnFault,
): void {
  if (blob.offset + blob.length > bytes.length) {
    fault(
      blob.offset,
      blob.id,
      `the ${blob.type} blob ends at ${blob.offset + blob.length}; the pack has ${bytes.length} bytes`,
    )
    return
  }
  try {
    const plain = openInto(engine, bytes.subarray(blob.offset, blob.offset + blob.length), blob, scratch)
    engine.primitives.sha256(plain, scratch.digest)
    if (scratch.digest.toString('hex') !== blob.id) {
      fault(
        blob.offset,
        blob.id,
        `the ${blob.type} blob's content hashes to ${scratch.digest.toString('hex')}`,
      )
    }
  } catch (error) {
    fault(blob.offset, blob.id, `the ${blob.type} blob cannot be read: ${reasonOf(error)}`)
  }
}

function openInto(engine: VerifierEngine, sealed: Buffer, blob: PackedBlob, scratch: Scratch): Buffer {
  scratch.opened = withRoom(scratch.opened, sealed.length)
  const length = engine.sealer.open(sealed, scratch.opened)
  const opened = scratch.opened.subarray(0, length)
  if (blob.uncompressedLength === 0) {
    return opened
  }
  if (blob.uncompressedLength > MAX_BLOB_BYTES) {
    throw new RangeError(`it claims ${blob.uncompressedLength} bytes; at most ${MAX_BLOB_BYTES} are read`)
  }
  scratch.plain = withRoom(scratch.plain, blob.uncompressedLength)
  const target = scratch.plain.subarray(0, blob.uncompressedLength)
  const actual = engine.primitives.decompress(opened, target)
  if (actual !== blob.uncompressedLength) {
    throw new RangeError(`it decompresses to ${actual} bytes; the index says ${blob.uncompressedLength}`)
  }
  return target
}

function withRoom(buffer: Buffer, length: number): Buffer {
  return buffer.length >= length ? buffer : Buffer.alloc(Math.ceil(length * 1.25))
}

function reasonOf(error: unknown): string {
  if (isHoldfastError(error) || error instanceof RangeError) {
    return error.message
  }
  throw error
}
