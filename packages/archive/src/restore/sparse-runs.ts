/** Granularity of holes: the block size of nearly every file system. */
export const HOLE_BYTES = 4096

const ZEROS = Buffer.alloc(HOLE_BYTES)

/**
 * Splits `bytes`, which will stand at `fileOffset`, into runs that are all zero over whole blocks of
 * the file and runs that are not. Adjacent runs differ in kind; together they cover `bytes` in order.
 * Pure.
 */
export function* sparseRuns(
  bytes: Uint8Array,
  fileOffset: number,
): Generator<{ readonly start: number; readonly end: number; readonly zero: boolean }, void, undefined> {
  let start = 0
  let zero: boolean | undefined
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + HOLE_BYTES - ((fileOffset + at) % HOLE_BYTES))
    const blockIsZero = isZero(bytes, at, end)
    if (zero !== undefined && blockIsZero !== zero) {
      yield { start, end: at, zero }
      start = at
    }
    zero = blockIsZero
    at = end
  }
  if (zero !== undefined) yield { start, end: bytes.length, zero }
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  // the first byte decides for nearly all data; comparing memory is for the rest
  if (bytes[start] !== 0) return false
  return ZEROS.compare(bytes, start, end, 0, end - start) === 0
}
