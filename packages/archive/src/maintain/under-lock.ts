import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { type LockKind, type LockOptions, withLock } from '../repository/locks.ts'
import type { Repository } from '../repository/repository.ts'

/** `held`: the caller holds a lock that is strong enough; `none` is the same claim for a read-only repository. */
export type LockChoice = LockOptions | 'held' | 'none'

export interface LockedOptions {
  /** How to lock; taken by the operation itself unless the caller says otherwise. */
  readonly lock?: LockChoice
  /** Stops the operation between two steps; the repository stays consistent. */
  readonly signal?: AbortSignal
}

/** Runs `body` under a lock of `kind`, or as it is when the caller holds one. */
export async function underLock<T>(
  repo: Repository,
  kind: LockKind,
  options: LockedOptions,
  body: (signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  const choice = options.lock ?? {}
  if (choice === 'held' || choice === 'none') {
    return await body(options.signal)
  }
  const signal = options.signal === undefined ? {} : { signal: options.signal }
  return await withLock(repo, kind, { ...signal, ...choice }, body)
}

/** Throws what the signal was aborted with: LockLost for a lock, Cancelled for a request to stop. */
export function throwIfStopped(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) {
    return
  }
  if (isHoldfastError(signal.reason)) {
    throw signal.reason
  }
  throw new HoldfastError('Cancelled', 'stopped on request', { retry: 'later', cause: signal.reason })
}
