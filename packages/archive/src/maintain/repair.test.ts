import { chmodSync, existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { encodeIndexFile } from '../format/index-file.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { check } from './check.ts'
import { copyStore, crashingStore } from './crashing-store.testing.ts'
import { prune } from './prune.ts'
import {
  cloneRepository,
  fillDirectory,
  makeRealRepository,
  type RealRepository,
} from './real-repository.testing.ts'
import { repairIndex } from './repair-index.ts'
import { repairPacks } from './repair-packs.ts'
import { repairSnapshots } from './repair-snapshots.ts'

const peer = findPeer('restic-new')
const old = findPeer('restic-old')
const held = { lock: 'held' } as const

describe.skipIf(peer === undefined || old === undefined)('repair', () => {
  const restic = resticTool(peer!)
  const restic14 = resticTool(old!)
  let original: RealRepository

  beforeAll(() => {
    original = makeRealRepository()
    const source = original.source('data')
    fillDirectory(join(source, 'a', 'b'), { seed: 1, count: 5, bytes: 200_000 })
    fillDirectory(join(source, 'c'), { seed: 2, count: 30, bytes: 3000 })
    original.run(restic14, 'backup', 'data')
    fillDirectory(join(source, 'd'), { seed: 3, count: 5, bytes: 50_000 })
    original.run(restic, 'backup', 'data')
  })
  afterAll(async () => await original[Symbol.asyncDispose]())

  const errorsOf = async (repo: Repository): Promise<readonly unknown[]> =>
    (await check(repo, { readData: 'all', workers: 0, ...held })).errors
  const packPath = (real: RealRepository, id: string): string =>
    join(real.repoDir, 'data', id.slice(0, 2), id)
  const packsOf = async (repo: Repository, type: 'data' | 'tree'): Promise<readonly string[]> => {
    await repo.loadIndex()
    return [...repo.index.packs()].toSorted().filter((id) => repo.index.packBlobs(id)[0]?.type === type)
  }

  describe('index', () => {
    it('is built anew from the packs alone, and stock restic of both versions accepts it', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const before = (await repo.loadIndex()).size
      for (const { id } of await repo.listFiles('index')) {
        await repo.removeFile('index', id)
      }
      const dry = await repairIndex(repo, { dryRun: true, ...held })
      expect(await repo.listFiles('index')).toEqual([])
      const { indexedPacks, unreadablePacks, writtenIndexFiles } = await repairIndex(repo)
      expect(indexedPacks.toSorted()).toEqual(dry.indexedPacks.toSorted())
      expect([unreadablePacks, writtenIndexFiles.length]).toEqual([[], 1])
      expect((await repo.loadIndex()).size).toBe(before)
      expect(await errorsOf(repo)).toEqual([])
      real.run(restic, 'check', '--read-data')
      real.run(restic14, 'check', '--read-data')
      expect((await repairIndex(repo, held)).indexedPacks).toEqual([])
    })

    it('replaces damaged and wrong index files, and drops packs that are gone', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const [first] = await repo.listFiles('index')
      const path = join(real.repoDir, 'index', first!.id)
      chmodSync(path, 0o600)
      truncateSync(path, statSync(path).size - 9)
      await repo.saveUnpacked(
        'index',
        encodeIndexFile({
          supersedes: [],
          packs: [
            {
              id: 'ab'.repeat(32),
              blobs: [{ type: 'data', id: 'cd'.repeat(32), offset: 0, length: 40, uncompressedLength: 0 }],
            },
          ],
        }),
      )
      const { damagedIndexFiles, absentPacks } = await repairIndex(repo, held)
      expect(damagedIndexFiles.map(({ id }) => id)).toEqual([first!.id])
      expect(absentPacks).toEqual(['ab'.repeat(32)])
      expect(await errorsOf(repo)).toEqual([])
      real.run(restic, 'check')
    })

    it('reads every header when told to, and leaves out packs it cannot read', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const [victim] = await packsOf(repo, 'data')
      const path = packPath(real, victim!)
      chmodSync(path, 0o600)
      truncateSync(path, statSync(path).size - 1)
      const { unreadablePacks, indexedPacks } = await repairIndex(repo, { readAllPacks: true, ...held })
      expect(unreadablePacks).toMatchObject([{ id: victim, error: { code: 'Damaged' } }])
      expect(indexedPacks).toHaveLength((await repo.listFiles('pack')).length - 1)
      expect(existsSync(path)).toBe(true)
      expect((await repo.loadIndex()).hasPack(victim!)).toBe(false)
    })

    it('is never worse for being killed', async () => {
      for (let k = 1; k <= 6; k += 1) {
        const store = openMemoryStore()
        await copyStore(openFilesystemStore(original.repoDir), store)
        const repo = await openRepository(crashingStore(store, k), { password: testPassword })
        await repairIndex(repo, { readAllPacks: true, ...held }).catch(() => undefined)
        expect(await errorsOf(await openRepository(store, { password: testPassword }))).toEqual([])
      }
    })
  })

  describe('packs', () => {
    it('saves every blob that still reads, says which are lost, and leaves the rest for repair snapshots', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const victim = (await packsOf(repo, 'data')).toSorted(
        (a, b) => repo.index.packBlobs(b).length - repo.index.packBlobs(a).length,
      )[0]!
      const blobs = repo.index.packBlobs(victim)
      corrupt(packPath(real, victim), blobs[1]!.offset + 50)
      const { salvaged, lost, removedPacks } = await repairPacks(repo, [victim])
      expect(salvaged).toBe(blobs.length - 1)
      expect(lost).toMatchObject([{ id: blobs[1]!.id, packId: victim, elsewhere: false }])
      expect(removedPacks).toEqual([victim])
      expect(existsSync(packPath(real, victim))).toBe(false)
      const after = await check(repo, { readData: 'all', workers: 0, ...held })
      expect(new Set(after.errors.map(({ kind }) => kind))).toEqual(new Set(['missing-blob']))
      await expect(prune(repo, held)).rejects.toMatchObject({ code: 'Damaged' })
      const { repaired } = await repairSnapshots(repo, { forget: true })
      expect(repaired.flatMap(({ paths }) => paths.map(({ change }) => change))).toContain('content removed')
      expect(await errorsOf(repo)).toEqual([])
      await prune(repo, { maxUnused: { bytes: 0 }, ...held })
      real.run(restic, 'check', '--read-data')
      real.run(restic14, 'check', '--read-data')
    })

    it('works with half a pack, and with one that no index knows', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const victim = (await packsOf(repo, 'data')).toSorted(
        (a, b) => repo.index.packBlobs(b).length - repo.index.packBlobs(a).length,
      )[0]!
      const blobs = repo.index.packBlobs(victim)
      const path = packPath(real, victim)
      chmodSync(path, 0o600)
      const half = blobs[Math.floor(blobs.length / 2)]!
      truncateSync(path, half.offset)
      const { salvaged, lost } = await repairPacks(repo, [victim], held)
      expect(salvaged).toBe(blobs.indexOf(half))
      expect(lost).toHaveLength(blobs.length - salvaged)
      await expect(repairPacks(repo, ['ab'.repeat(32)], held)).rejects.toMatchObject({ code: 'NotFound' })
      await expect(repairPacks(repo, [], held)).rejects.toMatchObject({ code: 'InvalidInput' })
    })

    it('loses nothing of an intact pack wherever it is killed', async () => {
      for (let k = 1; k <= 8; k += 1) {
        const store = openMemoryStore()
        await copyStore(openFilesystemStore(original.repoDir), store)
        const repo = await openRepository(crashingStore(store, k), { password: testPassword })
        const packs = await packsOf(repo, 'data')
        await repairPacks(repo, packs, held).catch(() => undefined)
        expect(
          await errorsOf(await openRepository(store, { password: testPassword })),
          `change ${k}`,
        ).toEqual([])
      }
    })
  })

  describe('snapshots', () => {
    it('leaves intact snapshots alone', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      expect(await repairSnapshots(repo)).toEqual({ repaired: [], intact: 2, damaged: [] })
    })

    it('empties directories that cannot be read, keeps the damaged snapshot unless told otherwise, and marks the new one', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      await repo.loadIndex()
      const { snapshots } = await loadSnapshots(repo)
      const subtree = (await repo.loadTree(snapshots[1]!.tree))[0]!.subtree!
      const lost = (await repo.loadTree(subtree)).find(({ name }) => name === 'd')!.subtree!
      await dropFromIndex(repo, lost)
      const dry = await repairSnapshots(repo, { dryRun: true, ...held })
      expect((await loadSnapshots(repo)).snapshots).toHaveLength(2)
      const { repaired, intact } = await repairSnapshots(repo)
      expect(repaired).toMatchObject([
        {
          id: snapshots[1]!.id,
          outcome: 'repaired',
          removed: false,
          paths: [{ path: '/data/d', change: 'directory emptied' }],
        },
      ])
      expect(dry.repaired[0]?.paths).toEqual(repaired[0]?.paths)
      expect(intact).toBe(1)
      const saved = (await loadSnapshots(repo)).snapshots.find(({ id }) => id === repaired[0]?.newId)
      expect(saved).toMatchObject({
        original: snapshots[1]!.id,
        tags: ['repaired'],
        time: snapshots[1]!.time,
      })
      real.run(restic, 'restore', saved!.id, '--target', join(real.dir, 'out'))
      expect(readFileSync(join(real.dir, 'out', 'data', 'c', 'file-0'))).toEqual(
        readFileSync(join(original.dir, 'data', 'c', 'file-0')),
      )
      expect(existsSync(join(real.dir, 'out', 'data', 'd', 'file-0'))).toBe(false)
    })

    it('does to the trees what restic repair does', async () => {
      await using ours = cloneRepository(original)
      const repo = await ours.open()
      const [victim] = await packsOf(repo, 'data')
      await repo.removeFile('pack', victim!)
      await repairIndex(repo, held)
      await using theirs = cloneRepository(ours)
      await repairSnapshots(repo, { forget: true, ...held })
      theirs.run(restic, 'repair', 'snapshots', '--forget')
      const treesOf = async (real: RealRepository): Promise<readonly string[]> =>
        (await loadSnapshots(await real.open())).snapshots.map(({ tree }) => tree)
      expect(await treesOf(ours)).toEqual(await treesOf(theirs))
      ours.run(restic, 'check', '--read-data')
      ours.run(restic14, 'check', '--read-data')
    })

    it('gives up a snapshot without a readable root only with forget, and a snapshot file that cannot be read too', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      await repo.loadIndex()
      const { snapshots } = await loadSnapshots(repo)
      await dropFromIndex(repo, snapshots[1]!.tree)
      const path = join(real.repoDir, 'snapshots', snapshots[0]!.id)
      chmodSync(path, 0o600)
      writeFileSync(path, 'damaged')
      const first = await repairSnapshots(repo, held)
      expect(first.repaired).toMatchObject([{ outcome: 'nothing left', newId: undefined, removed: false }])
      expect(first.damaged.map(({ id }) => id)).toEqual([snapshots[0]!.id])
      expect(await repo.listFiles('snapshot')).toHaveLength(2)
      await repairSnapshots(repo, { forget: true, ...held })
      expect(await repo.listFiles('snapshot')).toEqual([])
      rmSync(path, { force: true })
    })

    it('never takes a store that fails for damage', async () => {
      const repo = await original.open((store) => ({
        ...store,
        load: async (file, range) =>
          await (file.type === 'pack'
            ? store.load({ type: 'config', id: '' }).then(() => Promise.reject(new Error('unplugged')))
            : store.load(file, range)),
      }))
      await expect(repairSnapshots(repo, { dryRun: true, ...held })).rejects.toThrow('unplugged')
    })
  })
})

function corrupt(path: string, at: number): void {
  chmodSync(path, 0o600)
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

async function dropFromIndex(repo: Repository, blob: string): Promise<void> {
  const old = await repo.listFiles('index')
  const packs = [...repo.index.packs()].map((id) => ({
    id,
    blobs: repo.index.packBlobs(id).filter((entry) => entry.id !== blob),
  }))
  await repo.saveUnpacked('index', encodeIndexFile({ supersedes: [], packs }))
  for (const { id } of old) {
    await repo.removeFile('index', id)
  }
}
