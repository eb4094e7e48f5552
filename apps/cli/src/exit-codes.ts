import type { ErrorCode } from '@holdfast/contract'

/** What a finished process says to the one that started it. The numbers are restic's, so that scripts carry over. */
export const exitStatus = {
  done: 0,
  failed: 1,
  incomplete: 3,
  noRepository: 10,
  locked: 11,
  wrongPassword: 12,
  interrupted: 130,
  brokenPipe: 141,
} as const

export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus]

/** The one place where an error becomes an exit status. */
export const exitStatusOf: Readonly<Record<ErrorCode, ExitStatus>> = {
  InvalidInput: exitStatus.failed,
  RepositoryNotFound: exitStatus.noRepository,
  RepositoryExists: exitStatus.failed,
  RepositoryLocked: exitStatus.locked,
  WrongPassword: exitStatus.wrongPassword,
  UnsupportedFormat: exitStatus.failed,
  NotFound: exitStatus.failed,
  Ambiguous: exitStatus.failed,
  Damaged: exitStatus.failed,
  LimitExceeded: exitStatus.failed,
  UnsafePath: exitStatus.failed,
  StoreUnavailable: exitStatus.failed,
  StoreRefused: exitStatus.failed,
  ReadOnly: exitStatus.failed,
  SourceUnreadable: exitStatus.failed,
  TargetUnwritable: exitStatus.failed,
  CommandFailed: exitStatus.failed,
  LockLost: exitStatus.failed,
  Cancelled: exitStatus.interrupted,
  Unsupported: exitStatus.failed,
  Internal: exitStatus.failed,
}

const meanings: Readonly<Record<ExitStatus, string>> = {
  0: 'the command was successful',
  1: 'there was an error; nothing more specific applies',
  3: 'the work was done in part only: something could not be read, or not be removed',
  10: 'the repository does not exist',
  11: 'the repository is locked by another process',
  12: 'the password is wrong',
  130: 'interrupted (Ctrl-C or SIGTERM); locks were released',
  141: 'whoever read the output went away',
}

/** The exit status section of a verb's help. `incomplete` tells what 3 means there, when it can happen. */
export function describeExitStatus(options: {
  readonly incomplete?: string
  readonly opens: boolean
}): string {
  const lines: [number, string][] = [
    [0, meanings[0]],
    [1, meanings[1]],
  ]
  if (options.incomplete !== undefined) lines.push([3, options.incomplete])
  if (options.opens) for (const status of [10, 11, 12] as const) lines.push([status, meanings[status]])
  lines.push([130, meanings[130]])
  return `\nExit status:\n${lines.map(([status, text]) => `  ${String(status).padEnd(5)}${text}`).join('\n')}`
}
