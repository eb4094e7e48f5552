import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import type { TestJob } from './pool-worker.testing.ts'
import { WorkerPool, type WorkerPoolOptions, workerEntry } from './worker-pool.ts'

const open: WorkerPool<TestJob, unknown>[] = []
function poolOf(options: Partial<WorkerPoolOptions> = {}): WorkerPool<TestJob, unknown> {
  const entry = new URL('./pool-worker.testing.ts', import.meta.url)
  const pool = new WorkerPool<TestJob, unknown>({ entry, workerData: 'given', size: 1, ...options })
  open.push(pool)
  return pool
}
afterEach(async () => {
  for (const pool of open.splice(0)) await pool.close()
})

const gate = (): SharedArrayBuffer => new SharedArrayBuffer(4)
const release = (held: SharedArrayBuffer): void => {
  Atomics.store(new Int32Array(held), 0, 1)
  Atomics.notify(new Int32Array(held), 0)
}

describe('a worker pool', () => {
  it('gives every job its own answer, one at a time in each thread', async () => {
    const pool = poolOf({ size: 2, depth: 4 })
    const values = Array.from({ length: 50 }, (_, i) => i)
    const answers = await Promise.all(values.map(async (value) => await pool.run({ do: 'echo', value })))
    expect(answers).toEqual(values.map((value) => ({ value, data: 'given' })))
  })

  it('passes on what a worker posts besides its answers, and what is broadcast to it', async () => {
    const posted: unknown[] = []
    const pool = poolOf({ size: 2, onMessage: (message, worker) => posted.push({ message, worker }) })
    pool.broadcast('news')
    for (const worker of [0, 1]) {
      await pool.run({ do: 'echo', value: worker }, [], worker)
      expect(await pool.run({ do: 'heard' }, [], worker)).toEqual(['news'])
    }
    expect(posted).toEqual([0, 1].map((worker) => ({ message: { seen: worker }, worker })))
  })

  it('starts a thread only when all others are busy, and tells it what was broadcast before', async () => {
    const pool = poolOf({ size: 3, depth: 2 })
    expect(await pool.runOnStarted({ do: 'heard' })).toEqual([])
    pool.broadcast('early')
    for (let i = 0; i < 3; i++) await pool.run({ do: 'echo', value: i })
    expect(await pool.runOnStarted({ do: 'heard' })).toEqual([['early']])
    const held = gate()
    const waiting = [pool.run({ do: 'wait', gate: held }), pool.run({ do: 'wait', gate: held })]
    await turn()
    pool.broadcast('late')
    release(held)
    expect(await Promise.all(waiting)).toEqual(['waited', 'waited'])
    expect(await pool.runOnStarted({ do: 'heard' })).toEqual([
      ['early', 'late'],
      ['early', 'late'],
    ])
  })

  it('moves memory that an answer hands over', async () => {
    const bytes = (await poolOf().run({ do: 'move', bytes: 1000 })) as Uint8Array
    expect(bytes).toHaveLength(1000)
  })

  it.each([
    ['holdfast', { code: 'Damaged', message: 'a bit', place: 'pack 1', guidance: 'Look.', retry: 'never' }],
    ['system', { code: 'ENOENT', errno: -2, syscall: 'open', path: '/nowhere at all' }],
    ['other', { code: 'Internal', message: 'a worker thread failed: a slip' }],
    ['odd', { code: 'Internal', message: 'a worker thread failed: a string' }],
    ['uncloneable', { code: 'Internal' }],
  ] as const)(
    'fails only the job whose handler throws, and keeps what the error said: %s',
    async (how, error) => {
      const pool = poolOf()
      await expect(pool.run({ do: 'fail', how })).rejects.toMatchObject(error)
      expect(await pool.run({ do: 'echo', value: 1 })).toMatchObject({ value: 1 })
    },
  )

  it.each(['die', 'crash'] as const)(
    'fails all jobs, and later ones, when a thread is lost: %s',
    async (how) => {
      const pool = poolOf({ depth: 5 })
      const jobs = [pool.run({ do: how }), pool.run({ do: 'echo', value: 1 }), pool.run({ do: how })]
      const outcomes = await Promise.allSettled(jobs)
      expect(outcomes.at(-1)).toMatchObject({ status: 'rejected' })
      await expect(pool.run({ do: 'echo', value: 2 })).rejects.toBeInstanceOf(Error)
    },
  )

  it('fails jobs that still wait for a place when a thread is lost', async () => {
    const pool = poolOf({ depth: 1 })
    const outcomes = await Promise.allSettled([
      pool.run({ do: 'die' }),
      pool.run({ do: 'echo', value: 1 }),
      pool.run({ do: 'echo', value: 2 }),
    ])
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected', 'rejected'])
  })

  it('lets a producer get ahead by its depth and no further', async () => {
    const pool = poolOf({ size: 2, depth: 2 })
    const held = gate()
    let started = 0
    const jobs = Array.from({ length: 10 }, async () => {
      const { result } = await pool.start({ do: 'wait', gate: held })
      started++
      return await result
    })
    for (let i = 0; i < 20; i++) await turn()
    const ahead = started
    release(held)
    expect(await Promise.all(jobs)).toEqual(Array<string>(10).fill('waited'))
    expect(ahead).toBe(4)
  })

  it('asks for admission before each job, and passes on a refusal', async () => {
    let asked = 0
    const pool = poolOf({
      admit: async () => {
        if (++asked > 2) throw new Error('no more')
        await Promise.resolve()
      },
    })
    await pool.run({ do: 'echo', value: 1 })
    await pool.run({ do: 'echo', value: 1 })
    await expect(pool.run({ do: 'echo', value: 1 })).rejects.toThrow('no more')
  })

  it('gives a pinned job to its thread however busy that is, and refuses one it does not have', async () => {
    const pool = poolOf({ size: 2, depth: 1 })
    const held = gate()
    const waiting = pool.run({ do: 'wait', gate: held }, [], 0)
    const pinned = pool.run({ do: 'echo', value: 'pinned' }, [], 0)
    expect(await pool.run({ do: 'echo', value: 'free' })).toMatchObject({ value: 'free' })
    release(held)
    expect(await waiting).toBe('waited')
    expect(await pinned).toMatchObject({ value: 'pinned' })
    await expect(pool.run({ do: 'echo', value: 1 }, [], 2)).rejects.toMatchObject({ code: 'Internal' })
  })

  it('fails what its threads still hold when it is closed, and takes nothing more', async () => {
    const pool = poolOf({ depth: 1 })
    const held = gate()
    const jobs = Promise.allSettled([
      pool.run({ do: 'wait', gate: held }),
      pool.run({ do: 'echo', value: 1 }),
    ])
    await turn()
    const closed = pool.close()
    const cancelled = { status: 'rejected', reason: { code: 'Cancelled' } }
    expect(await jobs).toMatchObject([cancelled, cancelled])
    await expect(pool.run({ do: 'echo', value: 1 })).rejects.toMatchObject({ code: 'Cancelled' })
    release(held)
    await closed
  })

  it('finds the worker beside its caller, from source and built', () => {
    expect(workerEntry('file:///x/src/a.ts', 'w').href).toBe('file:///x/src/w.ts')
    expect(workerEntry('file:///x/dist/a.js', 'w').href).toBe('file:///x/dist/w.js')
  })
})
