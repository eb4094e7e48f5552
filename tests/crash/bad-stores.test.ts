import { isHoldfastError } from '@holdfast/contract'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backup } from '../../packages/archive/src/backup/backup.ts'
import { check } from '../../packages/archive/src/maintain/check.ts'
import { forget } from '../../packages/archive/src/maintain/forget.ts'
import { prune } from '../../packages/archive/src/maintain/prune.ts'
import { repairIndex } from '../../packages/archive/src/maintain/repair-index.ts'
import { openRepository, type Repository } from '../../packages/archive/src/repository/repository.ts'
import { restoreSnapshot } from '../../packages/archive/src/restore/restore-snapshot.ts'
import type { BlobStore } from '../../packages/archive/src/stores/blob-store.ts'
import {
  faultyStore,
  laggingStore,
  staleListingStore,
  tearingStore,
} from '../../packages/archive/src/stores/doubles.testing.ts'
import { openFilesystemStore } from '../../packages/archive/src/stores/filesystem.ts'
import { withRetry } from '../../packages/archive/src/stores/wrap/retry.ts'
import { mustRun, resticTool, testPassword } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { snapshotFiles } from '../history.ts'
import { makeTree, mutateTree } from '../make-tree.ts'
import { findPeer } from '../peers.ts'
import { openScene, restoreDifferences, type Scene, socketsStayAway } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'
import { compareManifests, type Manifest, readManifest } from '../tree-manifest.ts'

const peer = findPeer('restic-new') ?? findPeer('restic-old')
const held = { lock: 'held' } as const
const rounds = Number(process.env['HOLDFAST_BAD_STORE_ROUNDS'] ?? 4)

interface BadStore {
  readonly title: string
  readonly wrap: (inner: BlobStore, seed: number) => BlobStore
}

const patient = (store: BlobStore): BlobStore =>
  withRetry(store, { attempts: 20, sleep: () => Promise.resolve() })

const stores: readonly BadStore[] = [
  { title: 'fails now and then', wrap: (inner, seed) => faultyStore(inner, { seed, rate: 0.08 }) },
  {
    title: 'fails often, behind retries',
    wrap: (inner, seed) => patient(faultyStore(inner, { seed, rate: 0.3 })),
  },
  { title: 'lags', wrap: (inner, seed) => laggingStore(inner, { seed, longestMs: 4 }) },
  { title: 'lists what was there 15 calls ago', wrap: (inner) => staleListingStore(inner, { behind: 15 }) },
  {
    title: 'tears writes, behind retries',
    wrap: (inner, seed) => patient(tearingStore(inner, { seed, rate: 0.3 })),
  },
]

describe('a store that misbehaves', () => {
  let scene: Scene
  let before: string
  beforeEach(() => {
    scene = openScene()
    before = process.cwd()
    process.chdir(scene.dir)
    makeCheapRepository(scene.repo)
    makeTree(scene.tree, scene.libc, { seed: 2, files: 15, largest: 300_000, compact: true, oldSafe: true })
  })
  afterEach(() => {
    process.chdir(before)
    scene[Symbol.dispose]()
  })

  it.each(stores)('and $title costs no retained snapshot and leaves a sound repository', async ({ wrap }) => {
    const random = seededRandom(4)
    const retained = new Map<string, Manifest>()
    for (let round = 0; round < rounds; round++) {
      for (let change = 0; change < 5; change++) mutateTree(scene.tree, scene.libc, random)
      const manifest = readManifest(scene.tree, scene.libc)
      const store = wrap(openFilesystemStore(scene.repo), round)
      await tolerating(async () => {
        await using repository = await openRepository(store, { password: testPassword })
        await actOn(repository, round, retained)
      })
      adopt(scene, retained, manifest)
      await expectSound(scene, retained)
    }
    expect(retained.size).toBeGreaterThan(0)
  })
})

/** A backup, and on odd rounds also a forget, a prune and an index repair. */
async function actOn(repository: Repository, round: number, retained: Map<string, Manifest>): Promise<void> {
  await repository.loadIndex()
  await backup(repository, { paths: ['tree'] })
  if (round % 2 === 0) return
  const [oldest] = retained.keys()
  if (oldest !== undefined && retained.size > 2) {
    retained.delete(oldest)
    await forget(repository, { ids: [oldest], ...held })
  }
  await prune(repository, { maxUnused: { bytes: 0 }, ...held })
  await repairIndex(repository, held)
}

/** Operations may fail on such a store, with an error of ours; they may not lose anything. */
async function tolerating(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isHoldfastError(error)) throw error
    expect(error.code).not.toBe('Internal')
  }
}

/** Takes up a snapshot that was made, and drops those whose removal was asked for but whose file is still there. */
function adopt(scene: Scene, retained: Map<string, Manifest>, manifest: Manifest): void {
  const fresh = snapshotFiles(scene).filter((id) => !retained.has(id) && !seen.has(id))
  expect(fresh.length).toBeLessThanOrEqual(1)
  for (const id of fresh) retained.set(id, manifest)
  for (const id of snapshotFiles(scene)) seen.add(id)
}

const seen = new Set<string>()

async function expectSound(scene: Scene, retained: ReadonlyMap<string, Manifest>): Promise<void> {
  if (peer !== undefined) mustRun(resticTool(peer), scene.at, ['check', '--read-data'])
  await using repository = await openRepository(openFilesystemStore(scene.repo), { password: testPassword })
  const { errors } = await check(repository, { readData: 'all', ...held })
  expect(errors).toEqual([])
  await repository.loadIndex()
  for (const [id, manifest] of retained) {
    const { tree } = JSON.parse(String(await repository.loadUnpacked('snapshot', id))) as {
      readonly tree: string
    }
    const target = scene.fresh('restored')
    const { errors } = await restoreSnapshot(repository, { tree, target })
    expect(errors).toEqual([])
    const found = readManifest(`${target}/tree`, scene.libc)
    expect(compareManifests(manifest, found, socketsStayAway)).toEqual([])
  }
  const [last] = [...retained].slice(-1)
  if (peer === undefined || last === undefined) return
  expect(restoreDifferences(resticTool(peer), scene, last[1], last[0])).toEqual([])
}
