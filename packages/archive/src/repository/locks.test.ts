import { spawn, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as nextTick } from 'node:timers/promises'
import { HoldfastError } from '@holdfast/contract'
import { describe, expect, it } from 'vitest'
import { resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { formatGoTime } from '../format/go-time.ts'
import { isHex } from '../format/ids.ts'
import { encodeLockFile, type LockFile } from '../format/lock-file.ts'
import { makeRealRepository, type RealRepository } from '../maintain/real-repository.testing.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { wrapStore } from '../stores/wrap/wrap-store.ts'
import { initRepository } from './init-repository.ts'
import {
  currentOwner,
  isStaleLock,
  type LockClock,
  type LockOwner,
  listLocks,
  removeStaleLocks,
  withLock,
} from './locks.ts'
import type { Repository } from './repository.ts'

const minute = 60_000
const start = Date.parse('2024-05-01T10:00:00Z')

interface FakeClock extends LockClock {
  /** Lets time pass, waking sleepers in order, and lets their work settle in between. */
  advance(ms: number): Promise<void>
}

function fakeClock(): FakeClock {
  let now = start
  const sleepers = new Set<{ readonly at: number; readonly wake: () => void }>()
  return {
    now: () => now,
    sleep: async (ms, signal) =>
      await new Promise<void>((resolve) => {
        const sleeper = { at: now + ms, wake: resolve }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', () => {
          sleepers.delete(sleeper)
          resolve()
        })
        if (signal?.aborted === true) {
          resolve()
        }
      }),
    async advance(ms) {
      const end = now + ms
      await settle()
      for (;;) {
        const next = [...sleepers].toSorted((a, b) => a.at - b.at)[0]
        if (next === undefined || next.at > end) {
          break
        }
        sleepers.delete(next)
        now = Math.max(now, next.at)
        next.wake()
        await settle()
      }
      now = end
    },
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 12; i += 1) {
    await nextTick()
  }
}

async function memoryRepository(
  wrap: (store: BlobStore) => BlobStore = (store) => store,
): Promise<Repository> {
  return await initRepository(wrap(openMemoryStore()), {
    password: testPassword,
    scryptCost: { N: 2, r: 1, p: 1 },
  })
}

/** Holds a lock until `release` is called; `done` tells how it ended. */
async function hold(
  repo: Repository,
  kind: 'shared' | 'exclusive',
  clock: FakeClock,
): Promise<{ release: () => void; done: Promise<unknown>; signal: AbortSignal }> {
  const gate = Promise.withResolvers<void>()
  const entered = Promise.withResolvers<AbortSignal>()
  const done = withLock(repo, kind, { clock }, async (signal) => {
    entered.resolve(signal)
    await Promise.race([gate.promise, new Promise((resolve) => signal.addEventListener('abort', resolve))])
    return 'ended'
  }).catch((error: unknown) => error)
  await clock.advance(1000)
  return { release: () => gate.resolve(), done, signal: await entered.promise }
}

const lockIds = async (repo: Repository): Promise<readonly string[]> =>
  (await repo.listFiles('lock')).map(({ id }) => id)

describe('locks', () => {
  it('lets shared locks live together and exclusive ones alone', async () => {
    const repo = await memoryRepository()
    const clock = fakeClock()
    const a = await hold(repo, 'shared', clock)
    const b = await hold(repo, 'shared', clock)
    await expect(withLock(repo, 'exclusive', { clock }, async () => 1)).rejects.toMatchObject({
      code: 'RepositoryLocked',
    })
    a.release()
    b.release()
    await Promise.all([a.done, b.done])
    const c = await hold(repo, 'exclusive', clock)
    for (const kind of ['shared', 'exclusive'] as const) {
      await expect(withLock(repo, kind, { clock }, async () => 1)).rejects.toThrow(/exclusively by PID/)
    }
    c.release()
    expect(await c.done).toBe('ended')
    expect(await lockIds(repo)).toEqual([])
  })

  it('looks again 200 ms after writing its lock, and gives way to one that appeared meanwhile', async () => {
    const repo = await memoryRepository()
    const clock = fakeClock()
    const attempt = withLock(repo, 'exclusive', { clock }, async () => 'got it').catch(
      (error: unknown) => error,
    )
    await clock.advance(100)
    await saveLock(repo, { exclusive: false })
    await clock.advance(100)
    expect(await attempt).toMatchObject({ code: 'RepositoryLocked' })
    expect(await lockIds(repo)).toHaveLength(1)
  })

  it('is refreshed every five minutes by a new file before the old one goes', async () => {
    const changes: string[] = []
    const repo = await memoryRepository((store) =>
      wrapStore(store, {
        save: async (file, body) => {
          changes.push(`save ${file.type}`)
          await store.save(file, body)
        },
        remove: async (file) => {
          changes.push(`remove ${file.type}`)
          await store.remove(file)
        },
      }),
    )
    const clock = fakeClock()
    const held = await hold(repo, 'shared', clock)
    const [first] = await lockIds(repo)
    changes.length = 0
    await clock.advance(11 * minute)
    expect(changes).toEqual(['save lock', 'remove lock', 'save lock', 'remove lock'])
    const locks = await listLocks(repo)
    expect(locks).toHaveLength(1)
    expect(locks[0]?.id).not.toBe(first)
    expect(clock.now() - Date.parse(locks[0]?.lock?.time ?? '')).toBeLessThan(2 * minute)
    held.release()
    await held.done
  })

  it('stops the work when no refresh has succeeded for 22.5 minutes', async () => {
    let broken = false
    const repo = await memoryRepository((store) =>
      wrapStore(store, {
        save: async (file, body) => {
          if (broken) {
            throw new HoldfastError('StoreUnavailable', 'no answer')
          }
          await store.save(file, body)
        },
      }),
    )
    const clock = fakeClock()
    const held = await hold(repo, 'exclusive', clock)
    broken = true
    await clock.advance(22 * minute)
    expect(held.signal.aborted).toBe(false)
    await clock.advance(minute)
    expect(held.signal.reason).toMatchObject({ code: 'LockLost' })
    expect(await held.done).toMatchObject({ code: 'LockLost' })
  })

  it('stops the work as well when the refresh itself hangs', async () => {
    const hung = Promise.withResolvers<void>()
    let hang = false
    const repo = await memoryRepository((store) =>
      wrapStore(store, { save: async (file, body) => await (hang ? hung.promise : store.save(file, body)) }),
    )
    const clock = fakeClock()
    const held = await hold(repo, 'exclusive', clock)
    hang = true
    await clock.advance(23 * minute)
    expect(held.signal.reason).toMatchObject({ code: 'LockLost' })
    hung.resolve()
    expect(await held.done).toMatchObject({ code: 'LockLost' })
  })

  it('waits for a lock as long as it was told to, and takes it when it becomes free', async () => {
    const repo = await memoryRepository()
    const clock = fakeClock()
    const held = await hold(repo, 'exclusive', clock)
    const told: string[] = []
    const waiting = withLock(
      repo,
      'shared',
      { clock, retryForMs: 10 * minute, onWaiting: ({ code }) => told.push(code) },
      async () => 'got it',
    )
    const impatient = withLock(repo, 'shared', { clock, retryForMs: minute }, async () => 1).catch(
      (error: unknown) => error,
    )
    await clock.advance(2 * minute)
    expect(await impatient).toMatchObject({ code: 'RepositoryLocked' })
    held.release()
    await held.done
    await clock.advance(2 * minute)
    expect(await waiting).toBe('got it')
    expect(told).toEqual(['RepositoryLocked'])
  })

  it('refuses to go on when a lock cannot be read, but ignores an empty one', async () => {
    const repo = await memoryRepository()
    const clock = fakeClock()
    await repo.store.save(
      { type: 'lock', id: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' },
      Buffer.alloc(0),
    )
    const held = await hold(repo, 'exclusive', clock)
    held.release()
    expect(await held.done).toBe('ended')
    await repo.store.save({ type: 'lock', id: 'a'.repeat(64) }, Buffer.from('not a lock'))
    const attempt = withLock(repo, 'shared', { clock }, async () => 1).catch((error: unknown) => error)
    await clock.advance(minute)
    expect(await attempt).toMatchObject({ code: 'Damaged', place: `lock ${'a'.repeat(64)}` })
    expect(await removeStaleLocks(repo, { clock })).toEqual([])
    expect(await removeStaleLocks(repo, { clock, all: true })).toHaveLength(2)
  })

  it('frees the lock when the work fails, and passes the failure on', async () => {
    const repo = await memoryRepository()
    const clock = fakeClock()
    const failing = withLock(
      repo,
      'shared',
      { clock },
      async () => await Promise.reject(new Error('boom')),
    ).catch((error: unknown) => error)
    await clock.advance(1000)
    expect(String(await failing)).toBe('Error: boom')
    expect(await lockIds(repo)).toEqual([])
  })
})

describe('a stale lock', () => {
  const owner: LockOwner = {
    ...currentOwner(),
    hostname: 'here',
    seesAllProcesses: true,
    processExists: (pid) => pid === 1,
  }
  const lock = (members: Partial<LockFile>, ageMinutes: number): LockFile => ({
    ...lockFile(members),
    time: formatGoTime(BigInt(start - ageMinutes * minute) * 1_000_000n),
  })
  const cases: readonly [string, boolean, Partial<LockFile>, number, Partial<LockOwner>][] = [
    ['is older than half an hour', true, { hostname: 'elsewhere' }, 31, {}],
    ['is not a younger one of another host', false, { hostname: 'elsewhere', pid: 2 }, 29, {}],
    ['is one of this host whose process is gone', true, { hostname: 'here', pid: 2 }, 1, {}],
    ['is not one of this host whose process lives', false, { hostname: 'here', pid: 1 }, 29, {}],
    [
      'in a container is not believed from a missing process alone',
      false,
      { hostname: 'here', pid: 2 },
      6,
      { seesAllProcesses: false },
    ],
    [
      'in a container is one with a missing process and missing refreshes',
      true,
      { hostname: 'here', pid: 2 },
      13,
      { seesAllProcesses: false },
    ],
    ['is not one from the future', false, { hostname: 'elsewhere' }, -120, {}],
    ['is not one without a host name', false, { hostname: '', pid: 2 }, 1, { hostname: '' }],
  ]
  it.each(cases)('%s', (...[, stale, members, age, who]) => {
    expect(isStaleLock(lock(members, age), start, { ...owner, ...who })).toBe(stale)
  })
})

const newest = findPeer('restic-new')
const oldest = findPeer('restic-old')

describe.skipIf(newest === undefined || oldest === undefined)('with stock restic', () => {
  const tools = [resticTool(newest!), resticTool(oldest!)]

  it('is refused by a lock that restic holds, as restic would be', async () => {
    for (const peer of [newest!, oldest!]) {
      await using real = makeRealRepository()
      const repo = await real.open()
      const child = spawn(peer.command, ['--no-cache', 'backup', '--stdin'], {
        env: { ...process.env, RESTIC_REPOSITORY: real.repoDir, RESTIC_PASSWORD: testPassword },
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      const ended = new Promise((resolve) => child.on('exit', resolve))
      await until(() => readdirSync(join(real.repoDir, 'locks')).some(isHex))
      await expect(withLock(repo, 'exclusive', {}, async () => 1)).rejects.toMatchObject({
        code: 'RepositoryLocked',
      })
      expect(await withLock(repo, 'shared', {}, async () => 'side by side')).toBe('side by side')
      expect(await removeStaleLocks(repo)).toEqual([])
      child.stdin.end('data')
      await ended
      expect(await withLock(repo, 'exclusive', {}, async () => 'alone')).toBe('alone')
    }
  })

  it('refuses restic while it holds an exclusive lock, and only exclusive work while it holds a shared one', async () => {
    await using real = makeRealRepository()
    real.source('data')
    const repo = await real.open()
    await withLock(repo, 'exclusive', {}, async () => {
      expect(real.attempt(tools[0]!, 'backup', 'data').status).toBe(11)
      expect(real.attempt(tools[1]!, 'backup', 'data').stderr).toContain('already locked exclusively')
    })
    await withLock(repo, 'shared', {}, async () => {
      for (const tool of tools) {
        expect(real.attempt(tool, 'backup', 'data').status).toBe(0)
        expect(real.attempt(tool, 'prune').stderr).toContain('already locked')
      }
    })
    for (const tool of tools) {
      real.run(tool, 'prune')
    }
  })

  it('leaves locks that restic unlock removes when the process is gone and keeps while it lives, and the other way round', async () => {
    for (const tool of tools) {
      await using real = makeRealRepository()
      const repo = await real.open()
      await leaveDeadLock(repo)
      await withLock(repo, 'shared', {}, async () => {
        real.run(tool, 'unlock')
        expect(readdirSync(join(real.repoDir, 'locks'))).toHaveLength(1)
      })
      expect(readdirSync(join(real.repoDir, 'locks'))).toEqual([])
      await killRestic(real, tool.command[0] ?? '')
      const owner = { ...currentOwner(), seesAllProcesses: true }
      expect(await removeStaleLocks(repo, { owner })).toHaveLength(1)
      real.run(tool, 'prune')
    }
  })
})

async function killRestic(real: RealRepository, command: string): Promise<void> {
  const child = spawn(command, ['--no-cache', 'backup', '--stdin'], {
    env: { ...process.env, RESTIC_REPOSITORY: real.repoDir, RESTIC_PASSWORD: testPassword },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  await until(() => readdirSync(join(real.repoDir, 'locks')).some(isHex))
  child.kill('SIGKILL')
  await ended
}

async function leaveDeadLock(repo: Repository): Promise<void> {
  const { pid } = spawnSync(process.execPath, ['--version'])
  await saveLock(repo, {
    pid,
    hostname: currentOwner().hostname,
    time: formatGoTime(BigInt(Date.now()) * 1_000_000n),
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await delay(10)
  }
}

function lockFile(members: Partial<LockFile>): LockFile {
  const time = formatGoTime(BigInt(start) * 1_000_000n)
  return {
    time,
    exclusive: false,
    hostname: 'elsewhere',
    username: 'somebody',
    pid: 4711,
    uid: 0,
    gid: 0,
    ...members,
  }
}

async function saveLock(repo: Repository, members: Partial<LockFile>): Promise<void> {
  await repo.saveUnpacked('lock', encodeLockFile(lockFile(members)))
}
