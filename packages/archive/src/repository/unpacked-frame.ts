import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { HoldfastError } from '@holdfast/contract'

/** Largest index, snapshot or lock accepted, in bytes of JSON. restic writes index files of some 8 MiB. */
export const MAX_UNPACKED_BYTES = 512 * 1024 * 1024

const ZSTD_FRAME = 2

/**
 * Plaintext of an unpacked file in a version 2 repository: 0x02 and a zstd frame (restic's design
 * document, "Unpacked Data Format"). Level 3: these files are few and read often.
 */
export function frameUnpacked(json: Uint8Array): Buffer {
  const params = { [constants.ZSTD_c_compressionLevel]: 3 }
  return Buffer.concat([Buffer.of(ZSTD_FRAME), zstdCompressSync(json, { params })])
}

/** The JSON within: as it is when it starts with { or [, behind a zstd frame when it starts with 0x02. */
export function unframeUnpacked(plain: Buffer, place: string): Buffer {
  const first = plain[0]
  if (first === 0x7b || first === 0x5b) return plain
  if (first !== ZSTD_FRAME) {
    throw new HoldfastError('UnsupportedFormat', `${place}: starts with byte ${first ?? 'none'}; {, [ or 2 expected`, {
      place,
      guidance: 'It was written by a newer version of the format, or is damaged.',
    })
  }
  try {
    return zstdDecompressSync(plain.subarray(1), { maxOutputLength: MAX_UNPACKED_BYTES })
  } catch (cause) {
    throw new HoldfastError('Damaged', `${place}: its zstd frame does not decode within ${MAX_UNPACKED_BYTES} bytes`, { place, cause })
  }
}
