import { chmodSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { sha256Hex } from '../format/ids.ts'
import { encodeIndexFile } from '../format/index-file.ts'
import { openBlobWriter } from '../repository/blob-writer.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { check } from './check.ts'
import { copyStore, crashingStore } from './crashing-store.testing.ts'
import { executePrune } from './execute-prune.ts'
import { forget } from './forget.ts'
import { planPrune } from './plan-prune.ts'
import { prune } from './prune.ts'
import {
  cloneRepository,
  fillDirectory,
  makeRealRepository,
  type RealRepository,
} from './real-repository.testing.ts'

const peer = findPeer('restic-new')
const old = findPeer('restic-old')
const held = { lock: 'held' } as const

describe.skipIf(peer === undefined || old === undefined)('prune', () => {
  const restic = resticTool(peer!)
  const restic14 = resticTool(old!)
  let original: RealRepository

  // Three snapshots by two versions of restic; forgetting the first two leaves packs unused, partly used and used.
  beforeAll(() => {
    original = makeRealRepository()
    const source = original.source('data')
    fillDirectory(join(source, 'a'), { seed: 1, count: 12, bytes: 300_000 })
    fillDirectory(join(source, 'b'), { seed: 2, count: 30, bytes: 20_000 })
    original.run(restic14, 'backup', 'data')
    rmSync(join(source, 'a', 'file-3'))
    rmSync(join(source, 'b'), { recursive: true })
    fillDirectory(join(source, 'c'), { seed: 3, count: 12, bytes: 200_000 })
    original.run(restic, 'backup', 'data', '--tag', 'second')
    rmSync(join(source, 'a', 'file-4'))
    original.run(restic, 'backup', 'data')
  })
  afterAll(async () => await original[Symbol.asyncDispose]())

  it('frees what no snapshot needs, and stock restic of both versions finds nothing wrong', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await forget(repo, { policy: { last: 1 }, ...held })
    const before = await packBytes(repo.store)
    const { plan, notRemoved } = await prune(repo, { maxUnused: { bytes: 0 } })
    expect(notRemoved).toEqual([])
    expect(plan.totals.freedBytes).toBeGreaterThan(100_000)
    const freed = before - (await packBytes(repo.store))
    expect(Math.abs(freed - plan.totals.freedBytes)).toBeLessThan(10_000)
    real.run(restic, 'check', '--read-data')
    real.run(restic14, 'check', '--read-data')
    expect((await check(repo, { readData: 'all', workers: 0, ...held })).errors).toEqual([])
    const again = await prune(repo, { maxUnused: { bytes: 0 } })
    expect([again.plan.repack, again.plan.remove, again.plan.unreferenced]).toEqual([[], [], []])
    expect(readdirSync(join(real.repoDir, 'locks'))).toEqual([])
  })

  it('agrees with stock restic about how much is used and unused', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await forget(repo, { policy: { last: 1 }, ...held })
    const { totals } = await planPrune(repo, held)
    const said = real.run(restic, 'prune', '--dry-run', '-v')
    const blobs = (label: string): number =>
      Number(new RegExp(`^${label}: +(\\d+) blobs`, 'm').exec(said)?.[1])
    expect(totals.used.blobs).toBe(blobs('used'))
    expect(totals.unused.blobs).toBe(blobs('unused'))
    expect(totals.repacked.blobs).toBe(blobs('to repack'))
    expect(totals.repackedAway.blobs).toBe(blobs('this removes'))
    expect(totals.removed.blobs).toBe(blobs('to delete'))
  })

  it('changes nothing on a dry run', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await forget(repo, { policy: { last: 1 }, ...held })
    const before = await everything(repo.store)
    const { plan, executed } = await prune(repo, { dryRun: true })
    expect(executed).toBe(false)
    expect(plan.remove.length + plan.repack.length).toBeGreaterThan(0)
    expect(await everything(repo.store)).toEqual(before)
  })

  it('says what forgetting would free without forgetting', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    const { snapshots } = await loadSnapshots(repo)
    const ignoreSnapshots = new Set(snapshots.slice(0, 2).map(({ id }) => id))
    const foreseen = await planPrune(repo, { ...held, ignoreSnapshots })
    await forget(repo, { policy: { last: 1 }, ...held })
    expect(foreseen.totals).toEqual((await planPrune(repo, held)).totals)
  })

  it('carries a repository of version 1 and stock restic still reads it', async () => {
    await using real = makeRealRepository({ version: 1 })
    fillDirectory(real.source('data'), { seed: 5, count: 10, bytes: 100_000 })
    real.run(restic14, 'backup', 'data')
    rmSync(join(real.dir, 'data', 'file-1'))
    real.run(restic14, 'backup', 'data')
    const repo = await real.open()
    await forget(repo, { policy: { last: 1 }, ...held })
    await prune(repo, { maxUnused: { bytes: 0 } })
    real.run(restic14, 'check', '--read-data')
    await expect(prune(repo, { repackUncompressed: true })).rejects.toThrow('version 1')
  })

  it('refuses when a snapshot, a needed blob or a needed pack is missing, and removes nothing', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await repo.loadIndex()
    const { snapshots } = await loadSnapshots(repo)
    const last = snapshots.at(-1)!
    const { packId } = repo.index.find('tree', last.tree)[0]!
    const bytes = await repo.store.load({ type: 'pack', id: packId })
    await repo.removeFile('pack', packId)
    const before = await everything(repo.store)
    await expect(prune(repo)).rejects.toMatchObject({
      code: 'Damaged',
      message: expect.stringContaining(last.tree),
    })
    expect(await everything(repo.store)).toEqual(before)
    await repo.store.save({ type: 'pack', id: packId }, bytes)
    const data = repo.index.packBlobs(
      [...repo.index.packs()].find((id) => repo.index.packBlobs(id)[0]?.type === 'data')!,
    )[0]!
    const [where] = repo.index.find('data', data.id)
    await repo.removeFile('pack', where!.packId)
    await expect(prune(repo)).rejects.toMatchObject({
      code: 'Damaged',
      message: expect.stringContaining(where!.packId),
    })
    await repo.store.save({ type: 'snapshot', id: sha256Hex(Buffer.from('x')) }, Buffer.from('x'))
    await expect(prune(repo)).rejects.toMatchObject({
      code: 'Damaged',
      message: expect.stringContaining('snapshot'),
    })
  })

  it('sweeps what writers that crashed long ago left, and nothing younger', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    const directory = join(repo.store.localDirectory!, 'data', 'aa')
    const old = join(directory, `${'a'.repeat(64)}-tmp-1-abc`)
    const young = join(directory, `${'b'.repeat(64)}-tmp-2-abc`)
    for (const path of [old, young]) writeFileSync(path, 'left over')
    utimesSync(old, 1_000_000, 1_000_000)
    const { swept } = await prune(repo)
    expect(swept).toEqual([{ path: old, size: 9 }])
    expect(readdirSync(directory).filter((name) => name.includes('-tmp-'))).toEqual([basename(young)])
  })

  it('takes needless missing packs out of the index', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await forget(repo, { policy: { last: 1 }, ...held })
    const { remove } = await planPrune(repo, held)
    const gone = remove[0]!.id
    await repo.removeFile('pack', gone)
    const { plan } = await prune(repo, { maxUnused: 'unlimited' })
    expect(plan.absent).toEqual([gone])
    real.run(restic, 'check')
  })

  it('refuses a plan when the store lists snapshots that the plan did not know', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    const plan = await planPrune(repo, held)
    real.run(restic, 'backup', 'repo/config')
    await expect(executePrune(repo, plan)).rejects.toMatchObject({ code: 'StoreUnavailable', retry: 'later' })
  })

  it('keeps one copy of blobs that are stored twice', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await repo.loadIndex()
    // A second copy of a whole data pack, as a backup that ran at the same time leaves it.
    const victim = [...repo.index.packs()].find((id) => repo.index.packBlobs(id)[0]?.type === 'data')!
    const writer = openBlobWriter(repo)
    for (const blob of repo.index.packBlobs(victim)) {
      await writer.save(blob.type, blob.id, await repo.loadBlob(blob.type, blob.id))
    }
    await writer.flush()
    const { totals } = await planPrune(repo, held)
    expect(totals.duplicate.blobs).toBe(repo.index.packBlobs(victim).length)
    await prune(repo, { maxUnused: { bytes: 0 } })
    expect((await planPrune(repo, held)).totals.duplicate.blobs).toBe(0)
    real.run(restic, 'check', '--read-data')
  })

  it('refuses to repack a pack whose needed blobs are damaged, names it, and removes nothing needed', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await forget(repo, { policy: { last: 1 }, ...held })
    const { repack, blobs } = await planPrune(repo, { maxUnused: { bytes: 0 }, ...held })
    const packId = repack.find(({ id }) => repo.index.packBlobs(id)[0]?.type === 'data')!.id
    const needed = repo.index
      .packBlobs(packId)
      .find((blob) => blobs.copy.has(blobs.numbers.of(blob.type, blob.id)))!
    const path = join(real.repoDir, 'data', packId.slice(0, 2), packId)
    const intact = readFileSync(path)
    const damaged = Buffer.from(intact)
    damaged[needed.offset + 20] = (damaged[needed.offset + 20] ?? 0) ^ 1
    chmodSync(path, 0o600)
    writeFileSync(path, damaged)
    const error: unknown = await prune(repo, { maxUnused: { bytes: 0 } }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'Damaged', place: expect.stringContaining(packId) })
    writeFileSync(path, intact)
    real.run(restic, 'check', '--read-data')
  })

  it('keeps packs in exactly one index file even where several list them differently', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await repo.loadIndex()
    const [some] = [...repo.index.packs()].filter((id) => repo.index.packBlobs(id).length > 2)
    const blobs = repo.index.packBlobs(some!)
    await repo.saveUnpacked(
      'index',
      encodeIndexFile({ supersedes: [], packs: [{ id: some!, blobs: blobs.slice(1) }] }),
    )
    await forget(repo, { policy: { last: 1 }, ...held })
    await prune(repo, { maxUnused: { bytes: 0 } })
    const result = await check(repo, { readData: 'all', workers: 0, ...held })
    expect([result.errors, result.notes]).toEqual([[], []])
  })

  describe.each(['before', 'after'] as const)('killed %s any of its changes', (when) => {
    it('leaves a repository that is whole, and pruning again completes', async () => {
      const start = openMemoryStore()
      await copyStore(openFilesystemStore(original.repoDir), start)
      const first = await openRepository(start, { password: testPassword })
      await forget(first, { policy: { last: 1 }, ...held })
      await leaveOrphan(first)
      let finished = false
      for (let k = 1; !finished; k += 1) {
        const store = openMemoryStore()
        await copyStore(start, store)
        finished = await pruneUntilKilled(store, k, when)
        await mustBeWhole(store, `killed ${when} change ${k}`)
        if (k % 6 === 1) {
          await resticMustAccept(store)
        }
        const repo = await openRepository(store, { password: testPassword })
        await prune(repo, { maxUnused: { bytes: 0 }, ...held })
        await mustBeWhole(store, `pruned again after change ${k}`)
        const { plan } = await prune(repo, { maxUnused: { bytes: 0 }, dryRun: true, ...held })
        expect([plan.remove, plan.repack, plan.unreferenced]).toEqual([[], [], []])
        expect(k).toBeLessThan(100)
      }
    })
  })

  async function pruneUntilKilled(store: BlobStore, k: number, when: 'before' | 'after'): Promise<boolean> {
    const crashing = crashingStore(store, k, when)
    const repo = await openRepository(crashing, { password: testPassword })
    try {
      const { notRemoved } = await prune(repo, {
        maxUnused: { bytes: 0 },
        packBytes: 400_000,
        repackSmallerThan: 0,
        ...held,
      })
      return notRemoved.length === 0
    } catch (error) {
      expect(String(error)).toContain('the test killed this process')
      return false
    }
  }

  async function mustBeWhole(store: BlobStore, context: string): Promise<void> {
    const repo = await openRepository(store, { password: testPassword })
    const result = await check(repo, { readData: 'all', ...held, workers: 0 })
    expect(result.errors, context).toEqual([])
    expect(result.snapshots, context).toBe(1)
  }

  async function resticMustAccept(store: BlobStore): Promise<void> {
    await using real = cloneRepository(original)
    rmSync(real.repoDir, { recursive: true })
    await copyStore(store, openFilesystemStore(real.repoDir))
    real.run(restic, 'check', '--read-data')
  }
})

async function leaveOrphan(repo: Repository): Promise<void> {
  const writer = openBlobWriter(repo, { writeIndex: false })
  const body = Buffer.from('left by a backup that was interrupted')
  await writer.save('data', sha256Hex(body), body)
  await writer.flush()
}

async function packBytes(store: BlobStore): Promise<number> {
  let total = 0
  for await (const { size } of store.list('pack')) {
    total += size
  }
  return total
}

async function everything(store: BlobStore): Promise<readonly string[]> {
  const names: string[] = []
  for (const type of ['pack', 'index', 'snapshot', 'key'] as const) {
    for await (const { id } of store.list(type)) {
      names.push(`${type} ${id}`)
    }
  }
  return names.toSorted()
}
