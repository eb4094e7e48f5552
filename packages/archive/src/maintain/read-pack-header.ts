import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import {
  decodePackHeader,
  MAX_HEADER_ENTRY_BYTES,
  MAX_SEALED_HEADER_BYTES,
  type PackedBlob,
  SEAL_OVERHEAD,
} from '../format/pack-header.ts'
import { openAt, type Repository } from '../repository/repository.ts'
import { packFileBytes } from './pack-use.ts'

const lengthBytes = 4
/** Enough for the header of most packs of small files in one request. */
const firstGuessBytes = 512 * MAX_HEADER_ENTRY_BYTES + SEAL_OVERHEAD + lengthBytes

/**
 * What the header at the end of a pack lists, read in one or two requests and without the blobs. `size` is that of
 * the file. Throws Damaged when the header does not open, or does not account for every byte of the file.
 */
export async function readPackHeader(
  repo: Repository,
  id: Hex,
  size: number,
): Promise<readonly PackedBlob[]> {
  const place = `pack/${id}`
  if (size < lengthBytes + SEAL_OVERHEAD) {
    throw new HoldfastError('Damaged', `the pack has ${size} bytes, fewer than the smallest header`, {
      place,
    })
  }
  const guess = Math.min(size, firstGuessBytes)
  const tail = await repo.store.load({ type: 'pack', id }, { offset: size - guess, length: guess })
  const length = sealedHeaderLength(tail, size, place)
  const offset = size - lengthBytes - length
  const sealed =
    length + lengthBytes <= guess
      ? tail.subarray(guess - lengthBytes - length, guess - lengthBytes)
      : await repo.store.load({ type: 'pack', id }, { offset, length })
  const blobs = decodePackHeader(openAt(repo.sealer, sealed, `${place} at offset ${offset}, header`), place)
  const expected = packFileBytes(blobs)
  if (expected !== size) {
    throw new HoldfastError('Damaged', `the pack has ${size} bytes; its header accounts for ${expected}`, {
      place,
    })
  }
  return blobs
}

/** The length that the last four bytes of a pack give its sealed header. Throws Damaged when it cannot be. */
export function sealedHeaderLength(tail: Buffer, size: number, place: string): number {
  const length = tail.readUInt32LE(tail.length - lengthBytes)
  const most = Math.min(size - lengthBytes, MAX_SEALED_HEADER_BYTES)
  if (length < SEAL_OVERHEAD || length > most) {
    throw new HoldfastError(
      'Damaged',
      `the header length is ${length}; expected ${SEAL_OVERHEAD} to ${most}`,
      {
        place: `${place} at offset ${size - lengthBytes}, header length`,
      },
    )
  }
  return length
}
