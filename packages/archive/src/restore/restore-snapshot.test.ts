import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mustRun, resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { makeCheapRepository } from '../../../../tests/cheap-repository.ts'
import { makeTree } from '../../../../tests/make-tree.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { openScene, type Scene, socketsStayAway } from '../../../../tests/scene.ts'
import { compareManifests, joinBytes, type Manifest, readManifest } from '../../../../tests/tree-manifest.ts'
import type { Hex } from '../format/ids.ts'
import { findSubtree } from '../query/find-subtree.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { withReadOnly } from '../stores/wrap/read-only.ts'
import { planRestore, type RestoreOptions, restoreSnapshot } from './restore-snapshot.ts'

const peer = findPeer('restic-new')
const CHUNKS = 1_700_000

describe.skipIf(peer === undefined)('of what restic backed up', () => {
  let scene: Scene
  let expected: Manifest
  let tree: Hex

  beforeAll(async () => {
    scene = openScene()
    makeCheapRepository(scene.repo)
    makeTree(scene.tree, scene.libc, { seed: 11, large: true })
    if (peer !== undefined) mustRun(resticTool(peer), scene.at, ['backup', 'tree'])
    expected = readManifest(scene.tree, scene.libc)
    await using repository = await open()
    const { snapshots } = await loadSnapshots(repository)
    tree = await findSubtree(repository, snapshots[0]?.tree ?? '', '')
  })
  afterAll(() => scene[Symbol.dispose]())

  const open = async (wrap = (store: BlobStore) => store): Promise<Repository> => {
    const repository = await openRepository(wrap(openFilesystemStore(scene.repo)), { password: testPassword })
    await repository.loadIndex()
    return repository
  }
  const restore = async (target: string, options: Partial<RestoreOptions> = {}) => {
    await using repository = await open()
    return await restoreSnapshot(repository, { tree, target, ...options })
  }
  const differences = (target: string): readonly string[] =>
    compareManifests(expected, readManifest(`${target}/tree`, scene.libc), socketsStayAway)

  test('every entry comes back equal in content and every attribute', async () => {
    const target = scene.fresh('equal')
    const result = await restore(target, { verify: true })
    expect(result.errors).toEqual([])
    expect(differences(target)).toEqual([])
    expect(result.filesRestored).toBe(result.filesTotal)
    expect(result.bytesRestored).toBe(result.bytesTotal)
    expect(result.filesVerified).toBeGreaterThan(50)
  })

  test('a store that gives no direct access to files restores the same', async () => {
    const target = scene.fresh('remote')
    await using repository = await open(withReadOnly)
    expect(repository.store.localDirectory).toBeUndefined()
    const result = await restoreSnapshot(repository, { tree, target })
    expect(result.errors).toEqual([])
    expect(differences(target)).toEqual([])
  })

  test('sparse: as equal, in fewer blocks', async () => {
    const target = scene.fresh('sparse')
    await restore(target, { sparse: true })
    expect(differences(target)).toEqual([])
    const dense = scene.fresh('dense')
    await restore(dense)
    const blocks = (root: string): number => statSync(`${root}/tree/large/sparse`).blocks
    expect(blocks(target)).toBeLessThan(blocks(dense) / 2)
    // in place: holes are punched into what was dense
    writeFileSync(`${dense}/tree/large/sparse`, Buffer.alloc(statSync(`${dense}/tree/large/sparse`).size, 1))
    await restore(dense, { sparse: true })
    expect(differences(dense)).toEqual([])
    expect(blocks(dense)).toBe(blocks(target))
  })

  test.each(['always', 'if-changed'] as const)(
    'restoring again with %s writes nothing and leaves every file as it is',
    async (overwrite) => {
      const target = scene.fresh('again')
      await restore(target)
      const stamp = (): readonly string[] =>
        [...expected.keys()]
          .map((path) => joinBytes(`${target}/tree`, path))
          .filter((path) => existsSync(path))
          .map((path) => lstatSync(path, { bigint: true }))
          .filter((stat) => stat.isFile() && stat.nlink === 1n && stat.size > 0n)
          .map((stat) => `${stat.ino}:${stat.mtimeNs}`)
      const before = stamp()
      const result = await restore(target, { overwrite })
      expect(result.bytesWritten).toBe(0)
      expect(result.created + result.updated).toBe(0)
      expect(stamp()).toEqual(before)
      expect(differences(target)).toEqual([])
    },
  )

  test('in place only the blobs that differ are written', async () => {
    const target = scene.fresh('delta')
    await restore(target)
    const file = `${target}/tree/large/random`
    const { size } = statSync(file)
    const fd = openSync(file, 'r+')
    writeSync(fd, Buffer.from('damage'), 0, 6, Math.floor(size / 2))
    ftruncateSync(fd, size + 1000)
    closeSync(fd)
    const result = await restore(target)
    expect(result.updated).toBe(1)
    expect(result.bytesWritten).toBeGreaterThan(0)
    expect(result.bytesWritten).toBeLessThan(size / 2)
    expect(differences(target)).toEqual([])
  })

  test('foreign attributes and a wrong mode are set right even where the content is', async () => {
    const target = scene.fresh('attributes')
    await restore(target)
    chmodSync(`${target}/tree/sizes/63`, 0o777)
    scene.libc.setXattr(Buffer.from(`${target}/tree/sizes/64`), 'user.foreign', Buffer.from('x'))
    await restore(target, { overwrite: 'if-changed' })
    expect(differences(target)).toEqual([])
  })

  test('a file that shares its inode with one outside is replaced, the other keeps its bytes', async () => {
    const target = scene.fresh('linked')
    const mine = `${scene.dir}/mine`
    writeFileSync(mine, 'mine')
    mkdirSync(`${target}/tree/sizes`, { recursive: true })
    linkSync(mine, `${target}/tree/sizes/63`)
    await restore(target)
    expect(readFileSync(mine, 'utf8')).toBe('mine')
    expect(differences(target)).toEqual([])
  })

  test('if-newer and never keep what they say', async () => {
    const target = scene.fresh('policies')
    await restore(target)
    const file = `${target}/tree/large/text`
    writeFileSync(file, 'changed since')
    expect((await restore(target, { overwrite: 'never' })).skipped).toBeGreaterThan(50)
    expect(readFileSync(file, 'utf8')).toBe('changed since')
    const future = new Date('2200-01-01')
    utimesSync(file, future, future)
    await restore(target, { overwrite: 'if-newer' })
    expect(readFileSync(file, 'utf8')).toBe('changed since')
    utimesSync(file, new Date(0), new Date(0))
    const past = scene.fresh('unused')
    expect(existsSync(past)).toBe(false)
    await restore(target, { overwrite: 'always' })
    expect(differences(target)).toEqual([])
  })

  test('include restores what matches and the directories that lead there, exclude everything else', async () => {
    const include = { matches: (path: string) => path.startsWith('/tree/sizes/'), childMayMatch: () => true }
    const only = scene.fresh('include')
    const result = await restore(only, { include })
    expect(result.errors).toEqual([])
    expect(readdirSync(`${only}/tree`)).toEqual(['sizes'])
    expect(statSync(`${only}/tree/sizes`, { bigint: true }).mtimeNs).toBe(expected.get('sizes')?.mtimeNs)
    const without = scene.fresh('exclude')
    await restore(without, {
      exclude: { matches: (path) => path === '/tree/sizes', childMayMatch: () => true },
    })
    expect(existsSync(`${without}/tree/sizes`)).toBe(false)
    expect(existsSync(`${without}/tree/large/text`)).toBe(true)
  })

  test('delete removes what the snapshot does not have, and only where it is selected', async () => {
    const target = scene.fresh('delete')
    await restore(target)
    const clutter = (): void => {
      for (const folder of ['tree/sizes', 'tree/large', '.']) {
        mkdirSync(`${target}/${folder}/extra/deep`, { recursive: true })
        writeFileSync(`${target}/${folder}/extra/deep/file`, 'x')
      }
    }
    clutter()
    const include = { matches: (path: string) => path.startsWith('/tree/sizes/'), childMayMatch: () => true }
    expect((await restore(target, { delete: true, include })).filesDeleted).toBe(3)
    expect(existsSync(`${target}/tree/sizes/extra`)).toBe(false)
    expect(existsSync(`${target}/tree/large/extra/deep/file`)).toBe(true)
    await restore(target, { delete: true })
    expect(readdirSync(target)).toEqual(['tree'])
    expect(differences(target)).toEqual([])
  })

  test('delete with a selection that takes in nothing deletes nothing and says so', async () => {
    const target = scene.fresh('delete-nothing')
    mkdirSync(target)
    writeFileSync(`${target}/file`, 'x')
    const include = { matches: (path: string) => path === '/file', childMayMatch: () => true }
    const result = await restore(target, { delete: true, include })
    expect(result.errors.map(({ code, during }) => [code, during])).toEqual([['InvalidInput', 'delete']])
    expect(existsSync(`${target}/file`)).toBe(true)
    await expect(restore('/', { delete: true })).rejects.toMatchObject({ code: 'InvalidInput' })
  })

  test('the plan names what the restore then does, and touches nothing', async () => {
    const target = scene.fresh('plan')
    await restore(target, {
      exclude: { matches: (path) => path === '/tree/sizes', childMayMatch: () => true },
    })
    writeFileSync(`${target}/tree/large/text`, 'changed')
    writeFileSync(`${target}/tree/stray`, 'x')
    const before = readManifest(target, scene.libc)
    const planned: string[] = []
    await using repository = await open()
    const options = { tree, target, delete: true }
    const plan = await planRestore(repository, options, ({ action, path }) =>
      planned.push(`${action} ${path}`),
    )
    expect(compareManifests(before, readManifest(target, scene.libc))).toEqual([])
    expect(planned).toContain('created /tree/sizes/63')
    expect(planned).toContain('updated /tree/large/text')
    expect(planned).toContain('unchanged /tree/large/random')
    expect(planned).toContain('deleted /tree/stray')
    const done: string[] = []
    const result = await restoreSnapshot(repository, options, (event) => {
      if (event.kind === 'item')
        done.push(`${event.action === 'restored' ? 'created' : event.action} ${event.path}`)
    })
    const files = (list: readonly string[]) =>
      list.filter((line) => line.includes('/sizes/') || line.includes('/large/')).toSorted()
    expect(files(done)).toEqual(files(planned))
    expect(result.filesTotal).toBe(plan.filesTotal)
    expect(result.bytesTotal).toBe(plan.bytesTotal)
    expect(result.filesDeleted).toBe(plan.filesDeleted)
  })

  test('a plan for a target that is not there does not make it', async () => {
    const target = scene.fresh('absent')
    await using repository = await open()
    const plan = await planRestore(repository, { tree, target })
    expect(plan.created).toBeGreaterThan(50)
    expect(existsSync(target)).toBe(false)
  })

  test('what an interrupted run left of a file is used, not written again', async () => {
    const target = scene.fresh('resume')
    const file = `${target}/tree/large/random`
    await restore(target)
    const { size } = statSync(file)
    const partial = await partialNameOf(target)
    mkdirSync(`${target}/tree/large`, { recursive: true })
    cpSync(`${scene.tree}/large/random`, partial)
    const fd = openSync(partial, 'r+')
    writeSync(fd, Buffer.alloc(CHUNKS), 0, CHUNKS, 0)
    closeSync(fd)
    const result = await restore(target, { include: only('/tree/large/random') })
    expect(result.bytesWritten).toBeGreaterThan(0)
    expect(result.bytesWritten).toBeLessThan(size / 2)
    expect(existsSync(partial)).toBe(false)
    rmSync(`${target}/tree`, { recursive: true })
    await restore(target)
    expect(differences(target)).toEqual([])
  })

  const only = (wanted: string) => ({
    matches: (path: string) => path === wanted,
    childMayMatch: (path: string) => wanted.startsWith(path),
  })

  /** A copy of the repository in which every large pack has a changed byte in every 64 KiB. */
  const damagedCopy = (): string => {
    const broken = scene.fresh('broken')
    cpSync(scene.repo, broken, { recursive: true })
    for (const pack of readdirSync(`${broken}/data`, { recursive: true }).map(String)) {
      const path = `${broken}/data/${pack}`
      if (statSync(path).size < 1_000_000) continue
      chmodSync(path, 0o600)
      const bytes = readFileSync(path)
      for (let at = 1000; at < bytes.length; at += 65536) bytes[at] = (bytes[at] ?? 0) ^ 1
      writeFileSync(path, bytes)
    }
    return broken
  }

  /** Makes the target's large file go, and finds the name it is built under, by letting a restore fail on it. */
  const partialNameOf = async (target: string): Promise<string> => {
    rmSync(`${target}/tree`, { recursive: true })
    const broken = damagedCopy()
    await using repository = await openRepository(openFilesystemStore(broken), { password: testPassword })
    await repository.loadIndex()
    const result = await restoreSnapshot(repository, { tree, target, include: only('/tree/large/random') })
    expect(result.errors).toHaveLength(1)
    const [error] = result.errors
    expect(error?.code).toBe('Damaged')
    expect(error?.path).toBe('/tree/large/random')
    expect(error?.place).toMatch(/^data\/[0-9a-f]{2}\/[0-9a-f]{64}, offset \d+$/)
    expect(existsSync(`${target}/tree/large/random`)).toBe(false)
    const name = /what could be restored is in (.*)\)/.exec(error?.message ?? '')?.[1] ?? ''
    expect(existsSync(`${target}${name}`)).toBe(true)
    rmSync(`${target}${name}`)
    return `${target}${name}`
  }

  test('a file that was there and meets a bad blob loses its name; the others are restored', async () => {
    const target = scene.fresh('damaged')
    await restore(target)
    writeFileSync(`${target}/tree/large/random`, 'to be updated')
    const broken = damagedCopy()
    await using repository = await openRepository(openFilesystemStore(broken), { password: testPassword })
    await repository.loadIndex()
    const result = await restoreSnapshot(repository, { tree, target })
    expect(result.errorCount).toBeGreaterThan(0)
    for (const { path } of result.errors) expect(existsSync(target + path), path).toBe(false)
    const missing = differences(target).filter(
      (line) => !line.includes('unexpected') && !line.includes('"large"'),
    )
    expect(missing).toHaveLength(result.errorCount)
  })

  test('an unprivileged user gets everything but owners and devices, and no setuid bits for them', async () => {
    if (process.getuid?.() !== 0) return
    const target = scene.fresh('unprivileged')
    mkdirSync(target)
    spawnSync('chmod', ['-R', 'a+rX', scene.dir])
    spawnSync('chown', ['65534:65534', target])
    const script = `
      const at = ${JSON.stringify(new URL('..', import.meta.url).href)}
      const { openFilesystemStore } = await import(at + 'stores/filesystem.ts')
      const { openRepository } = await import(at + 'repository/repository.ts')
      const { restoreSnapshot } = await import(at + 'restore/restore-snapshot.ts')
      const [repo, password, tree, target] = process.argv.slice(1)
      const repository = await openRepository(openFilesystemStore(repo), { password })
      await repository.loadIndex()
      for (let i = 0; i < 2; i++) {
        const { errors, warnings } = await restoreSnapshot(repository, { tree, target, overwrite: 'if-changed' })
        console.log(JSON.stringify({ paths: errors.map((e) => e.path), warnings }))
      }
    `
    const args = ['-e', script, scene.repo, testPassword, tree, target]
    const run = spawnSync(process.execPath, args, { uid: 65534, gid: 65534, encoding: 'utf8', cwd: '/' })
    expect(run.stderr).toBe('')
    for (const line of run.stdout.trim().split('\n')) {
      const { paths, warnings } = JSON.parse(line) as { paths: string[]; warnings: { owner: number } }
      expect(paths.toSorted()).toEqual([
        '/tree/special/big-numbers',
        '/tree/special/block',
        '/tree/special/char',
      ])
      expect(warnings.owner).toBeGreaterThan(50)
    }
    expect(statSync(`${target}/tree/attributes/mode-4755`).mode & 0o7777).toBe(0o755)
    const ignore = ['uid', 'gid', 'mode', 'xattrs'] as const
    const tolerance = { absentTypes: ['socket', 'dev', 'chardev'], ignore }
    expect(compareManifests(expected, readManifest(`${target}/tree`, scene.libc), tolerance)).toEqual([])
  })

  test('a link in the path of the target itself is the user’s own and is followed', async () => {
    const real = scene.fresh('real')
    mkdirSync(real)
    symlinkSync(real, `${scene.dir}/alias`)
    await restore(`${scene.dir}/alias`, { include: only('/tree/sizes/63') })
    expect(existsSync(`${real}/tree/sizes/63`)).toBe(true)
    await expect(restore(`${scene.tree}/sizes/63`)).rejects.toMatchObject({ code: 'TargetUnwritable' })
  })

  test('a restore that is told to stop stops', async () => {
    const signal = AbortSignal.abort()
    await expect(restore(scene.fresh('stopped'), { signal })).rejects.toMatchObject({ code: 'Cancelled' })
  })
})

test('the worker file lies where the pool looks for it', () => {
  expect(existsSync(fileURLToPath(new URL('./restore-worker.ts', import.meta.url)))).toBe(true)
})
