import { chmodSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resticTool } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { encodeIndexFile } from '../format/index-file.ts'
import { encodeLockFile } from '../format/lock-file.ts'
import { openBlobWriter } from '../repository/blob-writer.ts'
import type { Repository } from '../repository/repository.ts'
import { withMetrics } from '../stores/wrap/metrics.ts'
import { type CheckResult, check } from './check.ts'
import { chooseSubset, parseReadDataSubset } from './check-subset.ts'
import {
  cloneRepository,
  fillDirectory,
  makeRealRepository,
  type RealRepository,
} from './real-repository.testing.ts'
import { createPackVerifier } from './verify-pack.ts'

const peer = findPeer('restic-new')
const old = findPeer('restic-old')
const held = { lock: 'held' } as const

describe.skipIf(peer === undefined || old === undefined)('check', () => {
  const restic = resticTool(peer!)
  const restic14 = resticTool(old!)
  let original: RealRepository

  beforeAll(() => {
    original = makeRealRepository()
    const source = original.source('data')
    fillDirectory(join(source, 'big'), { seed: 1, count: 6, bytes: 3_000_000 })
    fillDirectory(join(source, 'small'), { seed: 2, count: 60, bytes: 4000 })
    original.run(restic14, 'backup', 'data')
    writeFileSync(join(source, 'text.txt'), 'compressible '.repeat(50_000))
    original.run(restic, 'backup', 'data')
  })
  afterAll(async () => await original[Symbol.asyncDispose]())

  it('finds nothing wrong with what two versions of restic wrote, in worker threads and without', async () => {
    const repo = await original.open()
    for (const workers of [2, 1, 0]) {
      const result = await check(repo, { readData: 'all', workers })
      expect(result.errors).toEqual([])
      expect(result).toMatchObject({
        ok: true,
        snapshots: 2,
        noteCount: 0,
        packsRead: result.packs,
        unusedBlobs: 0,
      })
      expect(result.bytesRead).toBeGreaterThan(5_000_000)
    }
    expect(readdirSync(join(original.repoDir, 'locks'))).toEqual([])
  })

  it('reads packs through any store, not only from a local directory', async () => {
    const repo = await original.open((store) => withMetrics(store))
    expect(repo.store.localDirectory).toBeUndefined()
    const result = await check(repo, { readData: 'all', workers: 2, ...held })
    expect(result).toMatchObject({ ok: true, packsRead: result.packs })
  })

  describe('a flipped bit', () => {
    const within = (share: number) => (size: number) => Math.floor((size - 1) * share)
    const cases: readonly (readonly [
      string,
      (real: RealRepository, repo: Repository) => Promise<string>,
      (size: number) => number,
    ])[] = [
      ['in the config', async () => 'config', within(0.5)],
      ['in a key', async (real) => only(real, 'keys'), within(0.3)],
      ['in a lock', lockFile, within(0.5)],
      ['in a snapshot', async (real) => only(real, 'snapshots'), within(0.9)],
      ['in an index', async (real) => only(real, 'index'), within(0.1)],
      ['in a data pack', async (_real, repo) => await packOf(repo, 'data'), within(0.2)],
      ['in a tree pack', async (_real, repo) => await packOf(repo, 'tree'), within(0.2)],
      ['in the header of a pack', async (_real, repo) => await packOf(repo, 'data'), (size) => size - 20],
      [
        'in the header length of a pack',
        async (_real, repo) => await packOf(repo, 'data'),
        (size) => size - 4,
      ],
      ['in the last byte of a pack', async (_real, repo) => await packOf(repo, 'tree'), (size) => size - 1],
    ]
    it.each(cases)('%s is found and named', async (_name, choose, position) => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const file = await choose(real, repo)
      flipBit(join(real.repoDir, file), position)
      const result = await check(repo, { readData: 'all', workers: 0, ...held })
      expect(result.ok).toBe(false)
      const id = file.split('/').at(-1) ?? ''
      expect(
        result.errors.some(({ place, message }) => place.includes(id) || message.includes(id)),
        show(result),
      ).toBe(true)
    })

    it('of a blob is named with its offset and id, and the pack is said to be broken', async () => {
      await using real = cloneRepository(original)
      const repo = await real.open()
      const file = await packOf(repo, 'data')
      const id = file.split('/').at(-1) ?? ''
      const blob = repo.index.packBlobs(id)[1]!
      flipBit(join(real.repoDir, file), () => blob.offset + 40)
      const result = await check(repo, { readData: 'all', workers: 2, ...held })
      expect(result.brokenPacks).toEqual([id])
      expect(result.errors.map(({ place }) => place)).toEqual([
        `pack/${id}`,
        `pack/${id} at offset ${blob.offset}`,
      ])
      expect(result.errors[1]?.message).toContain(blob.id)
    })

    it('anywhere in a pack is found: five hundred places', async () => {
      const repo = await original.open()
      const file = await packOf(repo, 'tree')
      const id = file.split('/').at(-1) ?? ''
      const bytes = readFileSync(join(original.repoDir, file))
      const verifier = createPackVerifier(repo)
      const indexed = repo.index.packBlobs(id)
      expect(verifier.verify(id, bytes, indexed)).toEqual([])
      for (let i = 0; i < 500; i += 1) {
        const at = Math.floor((bytes.length * i) / 500)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8))
        // The hash of the whole file tells of any change; what it was a change to must be told as well.
        const faults = verifier.verify(id, bytes, indexed)
        expect(faults.length, `byte ${at}`).toBeGreaterThanOrEqual(2)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8))
      }
    })
  })

  it('names packs that are gone, cut short or grown without reading them', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    const file = await packOf(repo, 'data')
    const id = file.split('/').at(-1) ?? ''
    const path = join(real.repoDir, file)
    chmodSync(path, 0o600)
    truncateSync(path, statSync(path).size - 5)
    expect((await check(repo, held)).errors).toMatchObject([{ kind: 'bad-pack', place: `pack/${id}` }])
    const read = await check(repo, { readData: 'all', ...held })
    expect(read.errors.length).toBeGreaterThan(2)
    rmSync(path)
    const gone = await check(repo, { readData: 'all', ...held })
    expect(gone.errors[0]).toMatchObject({
      kind: 'bad-pack',
      message: 'is in the index, but the file is not there',
    })
    expect(gone.suggestRepairIndex).toBe(true)
  })

  it('names files of snapshots whose content no index has', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await repo.loadIndex()
    const lost = repo.index.packBlobs((await packOf(repo, 'data')).split('/').at(-1) ?? '')
    const packs = [...repo.index.packs()].filter((id) => repo.index.packBlobs(id)[0]?.id !== lost[0]?.id)
    await repo.saveUnpacked(
      'index',
      encodeIndexFile({
        supersedes: [],
        packs: packs.map((id) => ({ id, blobs: repo.index.packBlobs(id) })),
      }),
    )
    for (const id of repo.index.indexFiles) {
      await repo.removeFile('index', id)
    }
    const result = await check(repo, held)
    expect(result.errors.every(({ kind }) => kind === 'missing-blob')).toBe(true)
    expect(result.errors[0]?.place).toMatch(/^snapshot [0-9a-f]{8}:\/.*data\//)
    expect(result.notes).toMatchObject([{ kind: 'unreferenced-pack' }])
    expect(result.suggestPrune).toBe(true)
  })

  it('notes orphaned packs, packs in several indexes and unused data, and calls the repository fine', async () => {
    await using real = cloneRepository(original)
    const repo = await real.open()
    await repo.loadIndex()
    const [id] = [...repo.index.packs()]
    const blobs = repo.index.packBlobs(id!)
    await repo.saveUnpacked('index', encodeIndexFile({ supersedes: [], packs: [{ id: id!, blobs }] }))
    const writer = openBlobWriter(repo, { writeIndex: false })
    await writer.save(blobs[0]!.type, blobs[0]!.id, await repo.loadBlob(blobs[0]!.type, blobs[0]!.id))
    await writer.flush()
    const result = await check(repo, { readData: 'all', ...held })
    expect(result.ok).toBe(true)
    expect(result.notes.map(({ kind }) => kind).toSorted()).toEqual(['duplicate-pack', 'unreferenced-pack'])
    real.run(restic, 'check')
  })

  it('reads only the packs of a subset, and all of them over all parts', async () => {
    const repo = await original.open()
    const parts = await Promise.all(
      [1, 2, 3].map(async (part) => await check(repo, { readData: { part, of: 3 }, workers: 0, ...held })),
    )
    expect(parts.reduce((sum, { packsRead }) => sum + packsRead, 0)).toBe(parts[0]?.packs)
    expect((await check(repo, { readData: { bytes: 1 }, workers: 0, ...held })).packsRead).toBe(1)
  })

  it('throws, and does not call it damage, when the store cannot be asked', async () => {
    const repo = await original.open((store) => ({
      ...withMetrics(store),
      load: async (file, range) => {
        if (file.type === 'index') {
          throw Object.assign(new Error('unexpected'), {})
        }
        return await store.load(file, range)
      },
    }))
    await expect(check(repo, held)).rejects.toThrow('unexpected')
  })
})

describe('a subset of packs', () => {
  const packs = Array.from({ length: 256 }, (_, i) => ({
    id: i.toString(16).padStart(2, '0').padEnd(64, '0'),
    size: 100,
  }))

  it('is chosen by part, by percentage and by size', () => {
    let n = 0
    const random = (): number => (n = (n * 16_807 + 1) % 2_147_483_647) / 2_147_483_647
    expect(chooseSubset(packs, 'all', random)).toHaveLength(256)
    expect(chooseSubset(packs, { part: 2, of: 4 }, random)).toHaveLength(64)
    expect(chooseSubset(packs, { percent: 12.5 }, random)).toHaveLength(32)
    expect(chooseSubset(packs, { bytes: 2560 }, random)).toHaveLength(25)
    expect(chooseSubset(packs, { percent: 0.001 }, random)).toHaveLength(1)
  })

  it('is read from restic spelling, and nothing else is', () => {
    expect(parseReadDataSubset('1/10')).toEqual({ part: 1, of: 10 })
    expect(parseReadDataSubset('2.5%')).toEqual({ percent: 2.5 })
    expect(parseReadDataSubset('50M')).toEqual({ bytes: 50 * 1024 * 1024 })
    expect(parseReadDataSubset('7')).toEqual({ bytes: 7 })
    for (const text of ['0/3', '4/3', '1/300', '0%', '101%', '-5M', '1e9', '', 'all', '5X']) {
      expect(() => parseReadDataSubset(text), text).toThrow('cannot be used')
    }
  })
})

function only(real: RealRepository, folder: string): string {
  return `${folder}/${readdirSync(join(real.repoDir, folder)).toSorted()[0] ?? ''}`
}

async function lockFile(_real: RealRepository, repo: Repository): Promise<string> {
  const lock = {
    time: '2024-01-01T00:00:00Z',
    exclusive: false,
    hostname: 'h',
    username: 'u',
    pid: 1,
    uid: 0,
    gid: 0,
  }
  return `locks/${await repo.saveUnpacked('lock', encodeLockFile(lock))}`
}

async function packOf(repo: Repository, type: 'data' | 'tree'): Promise<string> {
  await repo.loadIndex()
  const id = [...repo.index.packs()]
    .toSorted()
    .find((pack) => repo.index.packBlobs(pack)[0]?.type === type && repo.index.packBlobs(pack).length > 1)
  return `data/${id!.slice(0, 2)}/${id!}`
}

function flipBit(path: string, position: (size: number) => number): void {
  chmodSync(path, 0o600)
  const bytes = readFileSync(path)
  const at = position(bytes.length)
  bytes[at] = (bytes[at] ?? 0) ^ 0x10
  writeFileSync(path, bytes)
}

function show(result: CheckResult): string {
  return JSON.stringify(result.errors)
}
