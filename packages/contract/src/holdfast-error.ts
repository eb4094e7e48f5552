/**
 * Every way an operation can end badly, as one closed vocabulary. The word is the same in the
 * message, the JSON output, the exit code table and the documentation.
 */
export type ErrorCode =
  | 'InvalidInput' // an argument, option or file given by the user is not usable as it stands
  | 'RepositoryNotFound' // no config file where the repository was said to be
  | 'RepositoryExists' // init found a repository already there
  | 'RepositoryLocked' // another process holds a conflicting lock
  | 'WrongPassword' // no key file opens with the password given
  | 'UnsupportedFormat' // a repository version or encoding this build does not know
  | 'NotFound' // a snapshot, blob, path or key asked for is not there
  | 'Ambiguous' // an abbreviated id or name matches more than one thing
  | 'Damaged' // stored bytes contradict their name, their MAC, or the format
  | 'LimitExceeded' // input asks for more than a declared bound allows
  | 'UnsafePath' // a path would leave the restore target
  | 'StoreUnavailable' // the store did not answer, after retries
  | 'StoreRefused' // the store answered no: credentials, permission, immutability
  | 'ReadOnly' // the store or the repository was opened without the right to change it
  | 'SourceUnreadable' // a file or device to back up could not be read
  | 'TargetUnwritable' // a restore target could not be written
  | 'CommandFailed' // a child process given by the user ended badly
  | 'LockLost' // our lock could not be refreshed in time; writing stopped
  | 'Cancelled' // stopped on request
  | 'Unsupported' // this platform or runtime cannot do it
  | 'Internal' // a broken invariant of our own

/** Whether trying again can help: never, later as it is, or only after something was changed. */
export type Retry = 'never' | 'later' | 'after-change'

export interface HoldfastErrorOptions {
  /** What the person should do next, as one sentence in the imperative. */
  readonly guidance?: string
  /** Defaults to `after-change`. */
  readonly retry?: Retry
  /** Where: a file in the repository with an offset, a path, a line, a JSON pointer. */
  readonly place?: string
  readonly cause?: unknown
}

/** The one error type that crosses a door. `message` says what was found and what was expected. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  readonly guidance: string | undefined
  readonly retry: Retry
  readonly place: string | undefined

  constructor(code: ErrorCode, message: string, options: HoldfastErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.guidance = options.guidance
    this.retry = options.retry ?? 'after-change'
    this.place = options.place
  }
}

/** True when `error` is a HoldfastError, of one of `codes` if any are given. */
export function isHoldfastError(error: unknown, ...codes: readonly ErrorCode[]): error is HoldfastError {
  return error instanceof HoldfastError && (codes.length === 0 || codes.includes(error.code))
}
