import { HoldfastError } from '@holdfast/contract'
import { describe, expect, it } from 'vitest'
import { initRepository } from '../repository/init-repository.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { faultyStore, fullDiskStore, staleListingStore } from '../stores/doubles.testing.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { check } from './check.ts'
import { crashingStore } from './crashing-store.testing.ts'
import { prune } from './prune.ts'
import { smallBackup } from './small-backup.testing.ts'

const password = 'x'
const held = { lock: 'held' } as const
const all = { maxUnused: { bytes: 0 }, packBytes: 65_536, ...held } as const

async function threeBackups(): Promise<{
  readonly store: BlobStore
  readonly direct: Repository
  readonly oldest: string
}> {
  const store = openMemoryStore()
  await initRepository(store, { password, scryptCost: { N: 2, r: 1, p: 1 } })
  const direct = await openRepository(store, { password })
  const oldest = await smallBackup(direct, 1)
  await smallBackup(direct, 2)
  await smallBackup(direct, 3)
  return { store, direct, oldest }
}

async function mustHold(direct: Repository, snapshots: number, context: string): Promise<void> {
  const result = await check(direct, { readData: 'all', workers: 0, ...held })
  expect(result.errors, context).toEqual([])
  expect(result.snapshots, context).toBe(snapshots)
}

describe('prune on a store that misbehaves', () => {
  it('never removes what a snapshot needs that the store has not listed yet', async () => {
    for (const forgets of [true, false]) {
      for (let behind = 0; behind < 48; behind += 3) {
        const { store, direct, oldest } = await threeBackups()
        const stale = await openRepository(staleListingStore(store, { behind }), { password })
        if (forgets) {
          await stale.removeFile('snapshot', oldest)
        }
        await smallBackup(stale, 4)
        await prune(stale, all).catch((error: unknown) => expect(error).toBeInstanceOf(HoldfastError))
        await mustHold(direct, forgets ? 3 : 4, `${behind} calls behind`)
      }
    }
  })

  it('loses nothing when calls fail at random, before or after they took effect, and completes at last', async () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const { store, direct, oldest } = await threeBackups()
      await direct.removeFile('snapshot', oldest)
      const faulty = faultyStore(store, { seed, rate: 0.08 })
      let done = false
      for (let attempt = 0; attempt < 60 && !done; attempt += 1) {
        done = await openRepository(faulty, { password })
          .then(async (repo) => await prune(repo, all))
          .then(
            ({ notRemoved }) => notRemoved.length === 0,
            () => false,
          )
        await mustHold(direct, 2, `seed ${seed}, attempt ${attempt}`)
      }
      expect(done).toBe(true)
    }
  })

  it('loses nothing on a full disk, and makes room there when told that none is left', async () => {
    const { store, direct, oldest } = await threeBackups()
    await direct.removeFile('snapshot', oldest)
    const full = await openRepository(fullDiskStore(store, { free: 100 }), { password })
    await expect(prune(full, all)).rejects.toMatchObject({ code: 'StoreUnavailable' })
    await mustHold(direct, 2, 'full')
    const packs = (await direct.listFiles('pack')).length
    await prune(full, { recoverFreeSpace: true, ...held })
    await mustHold(direct, 2, 'room was made')
    expect((await direct.listFiles('pack')).length).toBe(packs - 2)
  })

  it('can be run again where making room was cut short', async () => {
    for (let k = 1; k < 8; k += 1) {
      const { store, direct, oldest } = await threeBackups()
      await direct.removeFile('snapshot', oldest)
      const killed = await openRepository(crashingStore(store, k), { password })
      await prune(killed, { recoverFreeSpace: true, ...held }).catch(() => undefined)
      await prune(direct, all)
      await mustHold(direct, 2, `killed at change ${k}`)
    }
  })

  it('stops when it is told to, before it changes anything', async () => {
    const { direct, store } = await threeBackups()
    const stop = new AbortController()
    stop.abort()
    const before = (await direct.listFiles('pack')).length
    await smallBackup(direct, 9).then(async (id) => await direct.removeFile('snapshot', id))
    const repo = await openRepository(store, { password })
    await expect(prune(repo, { ...all, signal: stop.signal })).rejects.toMatchObject({ code: 'Cancelled' })
    expect((await direct.listFiles('pack')).length).toBe(before + 2)
  })
})
