import { isHoldfastError } from '@holdfast/contract'
import { openPosix, type Posix } from '../posix/posix.ts'

/** The system calls node:fs lacks, or undefined on a platform where a backup goes without extended attributes and holes. */
export function tryPosix(): Posix | undefined {
  try {
    return openPosix()
  } catch (error) {
    if (isHoldfastError(error, 'Unsupported')) return undefined
    throw error
  }
}
