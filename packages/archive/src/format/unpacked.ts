import { HoldfastError } from '@holdfast/contract'
import { damaged } from './json-document.ts'

/** How the JSON of an index, snapshot, lock or config file is laid out before it is sealed. */
export type UnpackedFraming =
  | { readonly kind: 'json'; readonly json: Uint8Array }
  | { readonly kind: 'zstd'; readonly frame: Uint8Array }

/** The byte before a zstd frame in an unpacked file of a version 2 repository. */
export const ZSTD_MARK = 2

/**
 * Tells the two layouts apart: JSON as it is when it starts with `{` or `[`, else the byte 2 and a
 * zstd frame (version 2 only). The parts are views into `plain`. Throws UnsupportedFormat otherwise.
 */
export function splitUnpacked(plain: Uint8Array, place: string): UnpackedFraming {
  const first = plain[0]
  if (first === undefined) throw damaged('the file is empty, expected JSON', place)
  if (first === 0x7b || first === 0x5b) return { kind: 'json', json: plain }
  if (first === ZSTD_MARK) return { kind: 'zstd', frame: plain.subarray(1) }
  throw new HoldfastError('UnsupportedFormat', `found an encoding ${first}, expected JSON or 2 for zstd`, {
    place: `${place}@0`,
    retry: 'never',
    guidance: 'Use a newer Holdfast for this repository, or run check if none is known.',
  })
}

/** The plaintext to seal for JSON compressed into `frame`. */
export function joinCompressed(frame: Uint8Array): Buffer {
  const plain = Buffer.allocUnsafe(frame.length + 1)
  plain[0] = ZSTD_MARK
  plain.set(frame, 1)
  return plain
}

/**
 * The decompressed size that a zstd frame declares, or undefined when it declares none (RFC 8878,
 * 3.1.1.1). Whoever decompresses must still not exceed the buffer. Throws LimitExceeded past
 * `maxBytes` and Damaged when it is not a zstd frame.
 */
export function zstdContentSize(frame: Uint8Array, place: string, maxBytes: number): number | undefined {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.length < 6 || view.readUInt32LE(0) !== ZSTD_MAGIC) {
    throw damaged('found no zstd frame where one was declared', place)
  }
  const descriptor = view.readUInt8(4)
  const singleSegment = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
  const at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes
  const size = readContentSize(view, at, descriptor >> 6, singleSegment)
  if (size === 'short') throw damaged('the zstd frame ends within its header', place)
  if (size !== undefined && size > maxBytes) {
    const message = `the zstd frame declares ${size} bytes, at most ${maxBytes} are accepted`
    throw new HoldfastError('LimitExceeded', message, { place, retry: 'never' })
  }
  return size
}

const ZSTD_MAGIC = 0xfd2fb528

function readContentSize(
  view: Buffer,
  at: number,
  flag: number,
  single: boolean,
): number | undefined | 'short' {
  if (flag === 0 && !single) return undefined
  const bytes = 1 << flag
  if (at + bytes > view.length) return 'short'
  if (flag === 0) return view.readUInt8(at)
  if (flag === 1) return view.readUInt16LE(at) + 256
  return flag === 2 ? view.readUInt32LE(at) : Number(view.readBigUInt64LE(at))
}
