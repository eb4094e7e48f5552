import { HoldfastError, type Retry } from '@holdfast/contract'

interface Meaning {
  readonly code: 'StoreUnavailable' | 'StoreRefused'
  readonly retry: Retry
  readonly guidance: string
}

const full: Meaning = {
  code: 'StoreUnavailable',
  retry: 'after-change',
  guidance:
    'Free space or raise the quota, or run prune from a machine that can; nothing half-written was left behind.',
}
const forbidden: Meaning = {
  code: 'StoreRefused',
  retry: 'after-change',
  guidance: 'Run as the user who owns the repository, or give this one the right to it.',
}
const passing: Meaning = {
  code: 'StoreUnavailable',
  retry: 'later',
  guidance: 'Check the disk or the network file system, then try again.',
}

const meanings: Readonly<Record<string, Meaning>> = {
  ENOSPC: full,
  EDQUOT: full,
  EFBIG: full,
  EACCES: forbidden,
  EPERM: forbidden,
  EROFS: { ...forbidden, guidance: 'The file system is mounted read-only: mount it for writing.' },
  EEXIST: { ...forbidden, guidance: 'A file is where a directory was expected: check the location.' },
  ENOTDIR: {
    ...forbidden,
    guidance: 'Part of the path is a file where a directory was expected: check the location.',
  },
  ELOOP: { ...forbidden, guidance: 'The path runs in a circle of symbolic links: check the location.' },
  ENAMETOOLONG: { ...forbidden, guidance: 'Choose a shorter path.' },
  EMFILE: {
    ...passing,
    guidance: 'Too many files are open: raise the limit (ulimit -n) or use fewer connections.',
  },
  ENFILE: { ...passing, guidance: 'The machine has too many files open.' },
}

/** The errno name of a failed system call, or undefined when `error` is something else. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}

/**
 * The store error for a failed system call on `path`. `doing` completes "could not ...". Permanent:
 * no space, no permission, read-only, wrong kind of path. Temporary: everything else (EIO, ESTALE,
 * ETIMEDOUT, EMFILE ...), because disks behind a network come back.
 */
export function filesystemError(error: unknown, doing: string, path: string): HoldfastError {
  if (error instanceof HoldfastError) return error
  const errno = errnoOf(error)
  const meaning = (errno === undefined ? undefined : meanings[errno]) ?? passing
  const reason = errno ?? (error instanceof Error ? error.message : String(error))
  return new HoldfastError(meaning.code, `Could not ${doing} ${path}: ${reason}.`, {
    guidance: meaning.guidance,
    retry: meaning.retry,
    place: path,
    cause: error,
  })
}
