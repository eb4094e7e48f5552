import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { initRepository } from '../repository/init-repository.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { check } from './check.ts'
import { copySnapshots } from './copy.ts'
import { copyStore, crashingStore } from './crashing-store.testing.ts'
import { forget } from './forget.ts'
import { addKey, changePassword, listKeys, removeKey } from './keys.ts'
import { fillDirectory, makeRealRepository, type RealRepository } from './real-repository.testing.ts'
import { changedTags, tag } from './tag.ts'

const peer = findPeer('restic-new')
const old = findPeer('restic-old')
const held = { lock: 'held' } as const
const cost = { N: 2, r: 1, p: 1 }

async function snapshotsOf(repo: Repository) {
  return (await loadSnapshots(repo)).snapshots
}

describe.skipIf(peer === undefined || old === undefined)('with repositories of stock restic', () => {
  const restic = resticTool(peer!)
  const restic14 = resticTool(old!)

  function threeSnapshots(): RealRepository {
    const real = makeRealRepository()
    for (const [i, tool] of [restic14, restic, restic].entries()) {
      fillDirectory(join(real.source('data'), `part-${i}`), { seed: i, count: 4, bytes: 60_000 })
      real.run(tool, 'backup', 'data', '--tag', `t${i}`, '--tag', 'all')
    }
    return real
  }

  describe('forget', () => {
    it('removes what the policy says and keeps the rest restorable', async () => {
      await using real = threeSnapshots()
      const repo = await real.open()
      const { plan, removed } = await forget(repo, { policy: { last: 2 } })
      expect(removed).toEqual(plan.remove.map(({ id }) => id))
      expect(plan.groups[0]?.remove[0]?.reasons).toEqual([
        'not a last snapshot: all 2 places are taken by newer snapshots',
      ])
      expect((await snapshotsOf(repo)).map(({ tags }) => tags[0])).toEqual(['t1', 't2'])
      real.run(restic, 'check', '--read-data')
    })

    it('refuses an empty policy and refuses to empty a group by policy; ids are taken at their word', async () => {
      await using real = threeSnapshots()
      const repo = await real.open()
      const ids = (await snapshotsOf(repo)).map(({ id }) => id.slice(0, 12))
      const unsafeAllowRemoveAll = true
      await expect(forget(repo, { policy: {}, ...held })).rejects.toThrow('no policy was given')
      await expect(forget(repo, { policy: {}, unsafeAllowRemoveAll, ...held })).rejects.toThrow(
        'asks for every snapshot',
      )
      await expect(forget(repo, { policy: { tags: [['none']] }, ...held })).rejects.toThrow(
        'refusing to remove all 3',
      )
      await expect(forget(repo, { ids: ['ffff0000ffff'], ...held })).rejects.toMatchObject({
        code: 'NotFound',
      })
      const dry = await forget(repo, { ids: ids.slice(0, 2), dryRun: true, ...held })
      expect([dry.executed, dry.plan.remove.length, (await snapshotsOf(repo)).length]).toEqual([false, 2, 3])
      await forget(repo, { ids: [ids[0]!, 'latest'], ...held })
      expect(await snapshotsOf(repo)).toHaveLength(1)
      await forget(repo, { ids: ['latest'], ...held })
      expect(await snapshotsOf(repo)).toEqual([])
    })

    it('goes on past a removal that fails and says which', async () => {
      await using real = threeSnapshots()
      const [first] = await snapshotsOf(await real.open())
      const repo = await real.open((store) => ({
        ...store,
        remove: async (file) =>
          await (file.id === first!.id
            ? store.load({ type: 'pack', id: 'a'.repeat(64) }).then(() => undefined)
            : store.remove(file)),
      }))
      const { removed, failed } = await forget(repo, { policy: { last: 1 }, ...held })
      expect(removed).toHaveLength(1)
      expect(failed).toMatchObject([{ id: first!.id, error: { code: 'NotFound' } }])
    })
  })

  describe('tag', () => {
    it('sets, adds and removes tags as restic does, and remembers the original id through it all', async () => {
      await using real = threeSnapshots()
      const repo = await real.open()
      const before = await snapshotsOf(repo)
      const { changed } = await tag(repo, { add: ['new', 'all'], remove: ['t1'] })
      expect(changed).toHaveLength(3)
      const after = await snapshotsOf(repo)
      expect(after.map(({ tags }) => tags)).toEqual([
        ['t0', 'all', 'new'],
        ['all', 'new'],
        ['t2', 'all', 'new'],
      ])
      expect(after.map(({ original }) => original)).toEqual(before.map(({ id }) => id))
      real.run(restic, 'tag', '--set', 'by restic')
      await tag(repo, { ids: ['latest'], set: [''] })
      const last = await snapshotsOf(repo)
      expect(last.map(({ tags }) => tags)).toEqual([['by restic'], ['by restic'], []])
      expect(last.map(({ original }) => original)).toEqual(before.map(({ id }) => id))
      expect((await tag(repo, { remove: ['absent'] })).changed).toEqual([])
      real.run(restic, 'check')
      await expect(tag(repo, {})).rejects.toMatchObject({ code: 'InvalidInput' })
      await expect(tag(repo, { set: ['a'], add: ['b'] })).rejects.toMatchObject({ code: 'InvalidInput' })
    })

    it('never loses a snapshot when it is killed', async () => {
      await using real = threeSnapshots()
      for (let k = 1; k <= 7; k += 1) {
        const store = openMemoryStore()
        await copyStore(openFilesystemStore(real.repoDir), store)
        const repo = await openRepository(crashingStore(store, k), { password: testPassword })
        await tag(repo, { add: ['x'], ...held }).catch(() => undefined)
        const found = await snapshotsOf(await openRepository(store, { password: testPassword }))
        expect(new Set(found.map(({ original, id }) => original ?? id)).size).toBe(3)
      }
    })
  })

  describe('keys', () => {
    it('adds, lists, replaces and removes passwords that restic accepts', async () => {
      await using real = threeSnapshots()
      const repo = await real.open()
      const second = await addKey(repo, {
        password: 'second',
        username: 'somebody',
        hostname: 'somewhere',
        cost,
      })
      expect(await listKeys(repo)).toHaveLength(2)
      expect((await listKeys(repo)).find(({ id }) => id === second)).toMatchObject({
        username: 'somebody',
        hostname: 'somewhere',
        current: false,
      })
      const listed = real.run(restic, 'key', 'list')
      expect(listed).toContain(second.slice(0, 8))
      expect(listed).toContain('somebody')
      await expect(removeKey(repo, repo.keyId.slice(0, 10))).rejects.toMatchObject({ code: 'InvalidInput' })
      await expect(removeKey(repo, '')).rejects.toMatchObject({ code: 'NotFound' })
      const { added, removed } = await changePassword(repo, { password: 'third', cost })
      expect(removed).toBe(repo.keyId)
      const store = openFilesystemStore(real.repoDir)
      await expect(openRepository(store, { password: testPassword })).rejects.toMatchObject({
        code: 'WrongPassword',
      })
      const reopened = await openRepository(store, { password: 'third' })
      expect(reopened.keyId).toBe(added)
      await removeKey(reopened, second.slice(0, 8))
      await expect(openRepository(store, { password: 'second' })).rejects.toMatchObject({
        code: 'WrongPassword',
      })
      await expect(addKey(reopened, { password: '', cost })).rejects.toMatchObject({ code: 'InvalidInput' })
      expect((await check(reopened, { readData: 'all', workers: 0 })).ok).toBe(true)
    })

    it('always leaves a password that opens the repository, wherever a change is killed', async () => {
      for (let k = 1; k <= 5; k += 1) {
        const store = openMemoryStore()
        await initRepository(store, { password: 'old', scryptCost: cost })
        const repo = await openRepository(crashingStore(store, k), { password: 'old' })
        await changePassword(repo, { password: 'new', cost }).catch(() => undefined)
        const opens = async (password: string): Promise<boolean> =>
          await openRepository(store, { password }).then(
            () => true,
            () => false,
          )
        expect((await opens('old')) || (await opens('new')), `killed at change ${k}`).toBe(true)
      }
    })
  })

  describe('copy', () => {
    async function emptyTarget(from: Repository, version: 1 | 2 = 2): Promise<BlobStore> {
      const store = openMemoryStore()
      await initRepository(store, {
        password: 'target',
        version,
        scryptCost: cost,
        polynomial: from.config.chunkerPolynomial,
      })
      return store
    }

    it('copies snapshots and data once, and restic agrees that nothing is missing', async () => {
      await using real = threeSnapshots()
      const from = await real.open()
      const target = await emptyTarget(from)
      const repo = await openRepository(target, { password: 'target' })
      const { copied, skipped, blobs } = await copySnapshots(repo, { from })
      expect([copied.length, skipped.length]).toEqual([3, 0])
      expect(blobs).toBe(from.index.size)
      const [theirs, ours] = [await snapshotsOf(from), await snapshotsOf(repo)]
      expect(ours.map(({ original, tree, time }) => [original, tree, time])).toEqual(
        theirs.map(({ id, tree, time }) => [id, tree, time]),
      )
      expect((await check(repo, { readData: 'all', workers: 0 })).errors).toEqual([])
      const again = await copySnapshots(repo, { from })
      expect([again.copied.length, again.skipped.length, again.blobs]).toEqual([0, 3, 0])
      // A tag makes it another snapshot of the same data.
      await tag(from, { ids: ['latest'], add: ['changed'], ...held })
      expect(await copySnapshots(repo, { from, ids: ['latest'] })).toMatchObject({ copied: [{}], blobs: 0 })
    })

    it('writes what restic checks, and restic copy knows the snapshots again', async () => {
      await using real = threeSnapshots()
      await using target = makeRealRepository()
      const from = await real.open()
      await copySnapshots(await target.open(), { from })
      target.run(restic, 'check', '--read-data')
      target.run(restic14, 'check', '--read-data')
      writeFileSync(join(target.dir, 'password'), testPassword)
      const said = target.run(restic, 'copy', '--from-repo', real.repoDir, '--from-password-file', 'password')
      expect(said).not.toContain('saved')
      target.run(restic, 'restore', 'latest', '--target', join(target.dir, 'out'))
    })

    it('goes on where it was killed and never shows a snapshot whose data is not all there', async () => {
      await using real = threeSnapshots()
      const from = await real.open()
      const start = await emptyTarget(from)
      let done = false
      for (let k = 1; !done; k += 1) {
        const store = openMemoryStore()
        await copyStore(start, store)
        const killed = await openRepository(crashingStore(store, k), { password: 'target' })
        done = await copySnapshots(killed, { from, packBytes: 60_000, fromLock: 'none', ...held }).then(
          () => true,
          () => false,
        )
        const repo = await openRepository(store, { password: 'target' })
        expect((await check(repo, { readData: 'all', workers: 0, ...held })).errors, `change ${k}`).toEqual(
          [],
        )
        await copySnapshots(repo, { from, fromLock: 'none', ...held })
        expect(await snapshotsOf(repo)).toHaveLength(3)
        expect((await check(repo, { ...held })).errors).toEqual([])
        expect(k).toBeLessThan(60)
      }
    })

    it('makes a compressed repository of an uncompressed one', async () => {
      await using real = makeRealRepository({ version: 1 })
      writeFileSync(join(real.source('data'), 'text'), 'all work and no play '.repeat(20_000))
      real.run(restic14, 'backup', 'data')
      const from = await real.open()
      const repo = await openRepository(await emptyTarget(from), { password: 'target' })
      await copySnapshots(repo, { from })
      const stored = (await repo.listFiles('pack')).reduce((sum, { size }) => sum + size, 0)
      expect(stored).toBeLessThan(20_000)
      expect((await check(repo, { readData: 'all', workers: 0 })).ok).toBe(true)
    })
  })
})

describe('a change of tags', () => {
  it('adds what is not there, in order, once, and removes', () => {
    const none = { set: [], add: [], remove: [] }
    expect(changedTags(['a'], { ...none, add: ['b', 'a', 'b'] })).toEqual(['a', 'b'])
    expect(changedTags(['a', 'b'], { ...none, remove: ['a'] })).toEqual(['b'])
    expect(changedTags(['a'], { ...none, add: ['a'] })).toBeUndefined()
    expect(changedTags(['a'], { ...none, add: ['b'], remove: ['b'] })).toBeUndefined()
    expect(changedTags(['a'], { ...none, set: ['a'] })).toEqual(['a'])
    expect(changedTags(['a'], { ...none, set: [''] })).toEqual([])
  })
})
