import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { HoldfastError } from '@holdfast/contract'
import { joinCompressed, splitUnpacked } from '../format/unpacked.ts'

/** Largest index, snapshot or lock accepted, in bytes of JSON. restic writes index files of some 8 MiB. */
export const MAX_UNPACKED_BYTES = 512 * 1024 * 1024

/** Plaintext of an unpacked file in a version 2 repository. Level 3: these files are few and read often. */
export function frameUnpacked(json: Uint8Array): Buffer {
  const params = { [constants.ZSTD_c_compressionLevel]: 3 }
  return joinCompressed(zstdCompressSync(json, { params }))
}

/** The JSON within an opened unpacked file, at most MAX_UNPACKED_BYTES of it. */
export function unframeUnpacked(plain: Uint8Array, place: string): Buffer {
  const framing = splitUnpacked(plain, place)
  if (framing.kind === 'json')
    return Buffer.from(framing.json.buffer, framing.json.byteOffset, framing.json.length)
  try {
    return zstdDecompressSync(framing.frame, { maxOutputLength: MAX_UNPACKED_BYTES })
  } catch (cause) {
    throw new HoldfastError(
      'Damaged',
      `${place}: its zstd frame does not decode within ${MAX_UNPACKED_BYTES} bytes`,
      { place, cause },
    )
  }
}
