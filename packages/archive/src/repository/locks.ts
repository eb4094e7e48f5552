import { readlinkSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { formatGoTime, parseGoTime } from '../format/go-time.ts'
import type { Hex } from '../format/ids.ts'
import { decodeLockFile, encodeLockFile, type LockFile } from '../format/lock-file.ts'
import type { Repository } from './repository.ts'

/** Wall clock and waiting, given from outside so that tests need not wait. */
export interface LockClock {
  /** Milliseconds since the epoch; must be wall time, which goes on while the machine sleeps. */
  now(): number
  /** Waits; resolves early, without an error, when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Who we are, and what we can know about processes that claim to be on the same host. */
export interface LockOwner {
  readonly hostname: string
  readonly username: string
  readonly pid: number
  readonly uid: number
  readonly gid: number
  /** False when a process of the same host name may live in a pid namespace that we cannot see into. */
  readonly seesAllProcesses: boolean
  processExists(pid: number): boolean
}

export interface LockOptions {
  /** How long to go on trying while another process holds a conflicting lock. 0, the default: one attempt. */
  readonly retryForMs?: number
  readonly clock?: LockClock
  readonly owner?: LockOwner
  /** Passed on to the body; also ends the waiting for a lock. */
  readonly signal?: AbortSignal
  /** Called once, before the first wait, with the RepositoryLocked error. */
  readonly onWaiting?: (error: HoldfastError) => void
  /** Told about refreshes and removals that failed; the lock itself is still valid then. */
  readonly onWarning?: (message: string) => void
}

export type LockKind = 'shared' | 'exclusive'

const minute = 60_000
const recheckAfterMs = 200
const refreshEveryMs = 5 * minute
const refreshAfterFailureMs = minute
const staleAfterMs = 30 * minute
/** Refreshing is given up 7.5 minutes before others may call the lock stale: room for clocks that differ. */
const lostAfterMs = staleAfterMs - 1.5 * refreshEveryMs
/** A live holder writes its lock anew every 5 minutes; past this age two refreshes are missing. */
const missedRefreshesMs = 12 * minute
const pollMs = 5_000
const readAttempts = 4
const firstReadDelayMs = 5_000
const firstRetryDelayMs = 5_000
const maxRetryDelayMs = minute
const initialPidNamespace = 'pid:[4026531836]'

/**
 * Runs `body` while holding a lock that restic honours (and honouring restic's): the lock file is written,
 * the others are looked at before and again 200 ms after, and it is refreshed every 5 minutes by writing a new
 * file and then deleting the old one. `exclusive` excludes every other lock, `shared` only exclusive ones.
 *
 * From the first lock on the process no longer ends on SIGHUP, because restic sends it to the holders of locks.
 *
 * The signal given to `body` aborts with a LockLost error when no refresh has succeeded for 22.5 minutes; the
 * body must then stop changing the repository. The lock is removed when `body` ends, however it ends.
 *
 * Errors: RepositoryLocked when the conflict outlives `retryForMs`; Damaged when a lock file cannot be read;
 * LockLost when the lock was lost before `body` ended, even if `body` itself succeeded.
 */
export async function withLock<T>(
  repo: Repository,
  kind: LockKind,
  options: LockOptions,
  body: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const context: LockContext = {
    repo,
    exclusive: kind === 'exclusive',
    clock: options.clock ?? systemClock,
    owner: options.owner ?? currentOwner(),
    signal: options.signal,
    warn: options.onWarning ?? (() => undefined),
  }
  surviveHangup()
  const held = await acquireWithRetry(context, options)
  const stop = new AbortController()
  const lost = new AbortController()
  const keeper = keepFresh(context, held, { stop: stop.signal, lost })
  const signal = options.signal === undefined ? lost.signal : AbortSignal.any([options.signal, lost.signal])
  try {
    const result = await body(signal)
    lost.signal.throwIfAborted()
    return result
  } catch (error) {
    throw lost.signal.aborted ? lost.signal.reason : error
  } finally {
    stop.abort()
    await keeper
    await release(context, held)
  }
}

/**
 * Removes locks whose holder is gone (see `isStaleLock`), or with `all` every lock, readable or not. Locks that
 * cannot be read stay unless `all` is set. Returns the ids removed.
 */
export async function removeStaleLocks(
  repo: Repository,
  options: { readonly all?: boolean; readonly clock?: LockClock; readonly owner?: LockOwner } = {},
): Promise<readonly Hex[]> {
  const now = (options.clock ?? systemClock).now()
  const owner = options.owner ?? currentOwner()
  const removed: Hex[] = []
  for (const { id } of await repo.listFiles('lock')) {
    const stale = options.all === true || isStaleLock(await tryReadLock(repo, id), now, owner)
    if (stale) {
      await repo.removeFile('lock', id)
      removed.push(id)
    }
  }
  return removed
}

/** Every lock in the repository; `lock` is undefined for a file that cannot be read. */
export async function listLocks(
  repo: Repository,
): Promise<readonly { readonly id: Hex; readonly lock: LockFile | undefined }[]> {
  const files = await repo.listFiles('lock')
  return await Promise.all(files.map(async ({ id }) => ({ id, lock: await tryReadLock(repo, id) })))
}

/**
 * True when nobody can hold this lock any more: its time is over 30 minutes ago (a live holder refreshes it
 * every 5 and gives up at 22.5), or it names our host and a process that does not exist. A process id means
 * nothing across pid namespaces, and containers that share the host's network also share its name; so unless
 * we see all processes of the host, a missing process counts only once two refreshes are missing as well.
 * Pure apart from `owner.processExists`.
 */
export function isStaleLock(lock: LockFile | undefined, nowMs: number, owner: LockOwner): boolean {
  if (lock === undefined) {
    return false
  }
  const ageMs = nowMs - lockTimeMs(lock)
  if (ageMs > staleAfterMs) {
    return true
  }
  if (lock.hostname === '' || lock.hostname !== owner.hostname || lock.pid <= 0) {
    return false
  }
  return (owner.seesAllProcesses || ageMs > missedRefreshesMs) && !owner.processExists(lock.pid)
}

/** This process, this host, this user. */
export function currentOwner(): LockOwner {
  const user = tryUserInfo()
  return {
    hostname: hostname(),
    username: user.username,
    pid: process.pid,
    uid: user.uid,
    gid: user.gid,
    seesAllProcesses: inInitialPidNamespace(),
    processExists,
  }
}

interface LockContext {
  readonly repo: Repository
  readonly exclusive: boolean
  readonly clock: LockClock
  readonly owner: LockOwner
  readonly signal: AbortSignal | undefined
  readonly warn: (message: string) => void
}

/** Our lock files: one, or two in the middle of a refresh, or more after removals that failed. */
interface HeldLock {
  readonly ids: Set<Hex>
  refreshedAt: number
}

async function acquireWithRetry(context: LockContext, options: LockOptions): Promise<HeldLock> {
  const retryForMs = options.retryForMs ?? 0
  const deadline = context.clock.now() + retryForMs
  let wait = Math.min(firstRetryDelayMs, retryForMs)
  let told = false
  for (;;) {
    try {
      return await acquire(context)
    } catch (error) {
      const left = deadline - context.clock.now()
      if (!isHoldfastError(error, 'RepositoryLocked') || left <= 0) {
        throw error
      }
      if (!told) {
        told = true
        options.onWaiting?.(error)
      }
      await context.clock.sleep(Math.min(wait, left), context.signal)
      throwIfCancelled(context.signal)
      wait = Math.min(wait * 2, maxRetryDelayMs)
    }
  }
}

async function acquire(context: LockContext): Promise<HeldLock> {
  await refuseConflicts(context, new Set())
  const refreshedAt = context.clock.now()
  const id = await saveLock(context, refreshedAt)
  const held: HeldLock = { ids: new Set([id]), refreshedAt }
  try {
    await context.clock.sleep(recheckAfterMs)
    await refuseConflicts(context, held.ids)
    return held
  } catch (error) {
    await release(context, held)
    throw error
  }
}

async function saveLock(context: LockContext, nowMs: number): Promise<Hex> {
  const { hostname, username, pid, uid, gid } = context.owner
  const lock: LockFile = {
    time: formatGoTime(BigInt(nowMs) * 1_000_000n),
    exclusive: context.exclusive,
    hostname,
    username,
    pid,
    uid,
    gid,
  }
  return await context.repo.saveUnpacked('lock', encodeLockFile(lock))
}

/**
 * Throws RepositoryLocked when another lock excludes ours. A lock that cannot be read may be any lock, so it
 * is read again a few times and then refused; one that vanished was removed or refreshed, so we look again.
 */
async function refuseConflicts(context: LockContext, own: ReadonlySet<Hex>): Promise<void> {
  const harmless = new Set(own)
  let wait = firstReadDelayMs
  for (let attempt = 1; ; attempt += 1) {
    const { vanished, unreadable } = await lookAtLocks(context, harmless)
    if (!vanished && unreadable === undefined) {
      return
    }
    if (unreadable !== undefined && attempt >= readAttempts) {
      throw unreadable
    }
    await context.clock.sleep(unreadable === undefined ? recheckAfterMs : wait, context.signal)
    throwIfCancelled(context.signal)
    wait = unreadable === undefined ? wait : wait * 2
  }
}

async function lookAtLocks(
  context: LockContext,
  harmless: Set<Hex>,
): Promise<{ readonly vanished: boolean; readonly unreadable: HoldfastError | undefined }> {
  let vanished = false
  let unreadable: HoldfastError | undefined
  for (const { id, size } of await context.repo.listFiles('lock')) {
    // A store without atomic uploads may leave an empty file behind; it locks nothing.
    if (harmless.has(id) || size === 0) {
      continue
    }
    try {
      const lock = await readLock(context.repo, id)
      if (context.exclusive || lock.exclusive) {
        throw lockedBy(id, lock, context.clock.now())
      }
      harmless.add(id)
    } catch (error) {
      if (isHoldfastError(error, 'RepositoryLocked')) {
        throw error
      }
      vanished ||= isHoldfastError(error, 'NotFound')
      unreadable = isHoldfastError(error, 'NotFound') ? unreadable : unreadableLock(id, error)
    }
  }
  return { vanished, unreadable }
}

interface KeeperSignals {
  readonly stop: AbortSignal
  readonly lost: AbortController
}

async function keepFresh(context: LockContext, held: HeldLock, signals: KeeperSignals): Promise<void> {
  let nextRefresh = held.refreshedAt + refreshEveryMs
  let refreshing: Promise<void> | undefined
  while (!signals.stop.aborted) {
    await context.clock.sleep(pollMs, signals.stop)
    const now = context.clock.now()
    if (signals.stop.aborted) {
      break
    }
    if (now - held.refreshedAt >= lostAfterMs) {
      signals.lost.abort(lockLost(now - held.refreshedAt))
      break
    }
    // A store that does not answer must not keep us from noticing that the lock is lost: do not wait here.
    if (now >= nextRefresh && refreshing === undefined) {
      refreshing = refresh(context, held, now)
        .then((fresh) => {
          nextRefresh = now + (fresh ? refreshEveryMs : refreshAfterFailureMs)
        })
        .finally(() => {
          refreshing = undefined
        })
    }
  }
  await refreshing
}

async function refresh(context: LockContext, held: HeldLock, now: number): Promise<boolean> {
  const old = [...held.ids]
  try {
    held.ids.add(await saveLock(context, now))
    held.refreshedAt = now
  } catch (error) {
    context.warn(`the lock could not be refreshed: ${messageOf(error)}`)
    return false
  }
  await removeOwn(context, held, old)
  return true
}

async function release(context: LockContext, held: HeldLock): Promise<void> {
  await removeOwn(context, held, [...held.ids])
}

async function removeOwn(context: LockContext, held: HeldLock, ids: readonly Hex[]): Promise<void> {
  for (const id of ids) {
    try {
      await context.repo.removeFile('lock', id)
      held.ids.delete(id)
    } catch (error) {
      context.warn(`our lock ${id.slice(0, 8)} could not be removed: ${messageOf(error)}`)
    }
  }
}

async function readLock(repo: Repository, id: Hex): Promise<LockFile> {
  return decodeLockFile(await repo.loadUnpacked('lock', id), `lock ${id}`)
}

async function tryReadLock(repo: Repository, id: Hex): Promise<LockFile | undefined> {
  try {
    return await readLock(repo, id)
  } catch {
    return undefined
  }
}

function lockTimeMs(lock: LockFile): number {
  return Number(parseGoTime(lock.time) / 1_000_000n)
}

function lockedBy(id: Hex, lock: LockFile, now: number): HoldfastError {
  const seconds = Math.max(0, Math.round((now - lockTimeMs(lock)) / 1000))
  const how = lock.exclusive ? 'exclusively ' : ''
  return new HoldfastError(
    'RepositoryLocked',
    `the repository is already locked ${how}by PID ${lock.pid} on ${lock.hostname} by ${lock.username} ` +
      `(UID ${lock.uid}, GID ${lock.gid}), lock written ${seconds} s ago`,
    {
      place: `lock ${id}`,
      retry: 'later',
      guidance:
        'Wait for the other process, give --retry-lock, or run unlock if you are sure that it is no longer running.',
    },
  )
}

function unreadableLock(id: Hex, error: unknown): HoldfastError {
  return new HoldfastError('Damaged', `a lock file cannot be read: ${messageOf(error)}`, {
    place: `lock ${id}`,
    cause: error,
    guidance:
      'Make sure that no other process uses the repository, then remove all locks with unlock --remove-all.',
  })
}

function lockLost(ageMs: number): HoldfastError {
  return new HoldfastError(
    'LockLost',
    `the lock was last refreshed ${Math.floor(ageMs / 1000)} s ago, expected at most ${lostAfterMs / 1000} s`,
    {
      retry: 'later',
      guidance: 'Check the connection to the store, or whether the machine slept, and run it again.',
    },
  )
}

function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw new HoldfastError('Cancelled', 'stopped while waiting for a lock', { cause: signal.reason })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

let survivesHangup = false

/**
 * `restic unlock` finds out whether a lock's process lives by sending it SIGHUP, which ends a process that does not
 * catch it. So whoever writes lock files must catch it, and go on doing so: the signal may come after the release.
 */
function surviveHangup(): void {
  if (!survivesHangup) {
    survivesHangup = true
    process.on('SIGHUP', () => undefined)
  }
}

const systemClock: LockClock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
  },
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

function inInitialPidNamespace(): boolean {
  try {
    return readlinkSync('/proc/self/ns/pid') === initialPidNamespace
  } catch {
    return process.platform !== 'linux'
  }
}

function tryUserInfo(): { readonly username: string; readonly uid: number; readonly gid: number } {
  try {
    const { username, uid, gid } = userInfo()
    return { username, uid: Math.max(0, uid), gid: Math.max(0, gid) }
  } catch {
    return { username: '', uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  }
}
