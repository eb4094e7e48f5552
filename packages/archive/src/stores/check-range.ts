import { HoldfastError } from '@holdfast/contract'
import { type ByteRange, type FileName, maxWholeFile } from './blob-store.ts'
import { layoutPath } from './layout.ts'

/** Throws `Internal` for a range no file can have: it comes from our own arithmetic, not from the store. */
export function checkRange(file: FileName, range: ByteRange): void {
  const { offset, length } = range
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new HoldfastError(
      'Internal',
      `A range of ${layoutPath(file)} must be whole bytes, found ${length} from ${offset}.`,
    )
  }
}

/**
 * What to read of a file that is `size` bytes long. Throws `Damaged` when the range reaches past the
 * end, and `LimitExceeded` when a whole file is more than `maxWholeFile`.
 */
export function rangeWithin(file: FileName, size: number, range: ByteRange | undefined): ByteRange {
  if (range === undefined) {
    if (size <= maxWholeFile) return { offset: 0, length: size }
    throw new HoldfastError(
      'LimitExceeded',
      `The file is ${size} bytes, at most ${maxWholeFile} are read at once.`,
      {
        place: layoutPath(file),
        retry: 'never',
      },
    )
  }
  checkRange(file, range)
  if (range.offset + range.length <= size) return range
  throw shortFile(file, size, range)
}

/** The file ends before the range does. */
export function shortFile(file: FileName, size: number, range: ByteRange): HoldfastError {
  return new HoldfastError(
    'Damaged',
    `The file is too short: ${range.length} bytes from ${range.offset} were expected, it ends at ${size}.`,
    {
      place: layoutPath(file),
      guidance: 'Run check to find out what is lost, then repair index or repair packs.',
    },
  )
}
