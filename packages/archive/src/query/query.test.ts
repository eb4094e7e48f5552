import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ArchiveTool, mustRun, resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { makeCheapRepository } from '../../../../tests/cheap-repository.ts'
import { makeTree, mutateTree } from '../../../../tests/make-tree.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { openScene, type Scene } from '../../../../tests/scene.ts'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import { compareManifests, readManifest } from '../../../../tests/tree-manifest.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { catObject } from './cat-object.ts'
import { diffTrees } from './diff-trees.ts'
import { openDump } from './dump.ts'
import { findEntries, findObjects } from './find-entries.ts'
import { findSubtree, splitSnapshotPath } from './find-subtree.ts'
import { listTree } from './list-tree.ts'
import { resolveTree } from './resolve-tree.ts'
import { type StatsMode, stats } from './stats.ts'

const peer = findPeer('restic-new')

/** Go's JSON puts a replacement character for each byte that is not UTF-8. */
const shownByGo = (name: string): string => name.replace(/\p{Surrogate}/gu, '\ufffd')

describe.skipIf(peer === undefined)('asked about the same repository, restic and we say the same', () => {
  let scene: Scene
  let repository: Repository
  let snapshots: readonly StoredSnapshot[]
  const tool: ArchiveTool =
    peer === undefined ? resticTool({ name: 'restic-new', command: '', version: '0.0.0' }) : resticTool(peer)
  const restic = (...args: readonly string[]): string => mustRun(tool, scene.at, args)
  const lines = (text: string): readonly Record<string, unknown>[] =>
    text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)

  beforeAll(async () => {
    scene = openScene()
    makeCheapRepository(scene.repo)
    makeTree(scene.tree, scene.libc, { seed: 5, large: true })
    restic('backup', 'tree')
    const random = seededRandom(9)
    for (let i = 0; i < 12; i++) mutateTree(scene.tree, scene.libc, random)
    rmSync(`${scene.tree}/sizes/63`)
    mkdirSync(`${scene.tree}/sizes/63`)
    writeFileSync(`${scene.tree}/sizes/63/now a folder`, 'x')
    restic('backup', 'tree')
    repository = await openRepository(openFilesystemStore(scene.repo), { password: testPassword })
    await repository.loadIndex()
    snapshots = (await loadSnapshots(repository)).snapshots
  })
  afterAll(async () => {
    await repository[Symbol.asyncDispose]()
    scene[Symbol.dispose]()
  })

  const snapshot = (number: number): StoredSnapshot => {
    const found = snapshots.at(number)
    if (found === undefined) throw new Error('no such snapshot')
    return found
  }

  test.each([
    [[], false],
    [['/tree/sizes'], false],
    [['/tree/sizes', '/tree/links'], true],
    [['/tree/deep/level-0'], false],
  ] as const)('ls %j recursive %s', async (directories, recursive) => {
    const flags = recursive ? ['--recursive'] : []
    const expected = lines(restic('ls', '--json', ...flags, snapshot(-1).id, ...directories))
      .filter((line) => line['message_type'] === 'node')
      .map((line) => `${String(line['type'])} ${String(line['path'])}`)
    const found = await Array.fromAsync(
      listTree(repository, { tree: snapshot(-1).tree, directories, recursive }),
    )
    const shown = found.map(({ path, node }) => `${node.type} ${shownByGo(path)}`)
    expect(shown).toEqual(expected)
    expect(shown.length).toBeGreaterThan(1)
  })

  test.each([true, false])('diff with metadata %s', async (metadata) => {
    const [from, to] = [snapshot(0), snapshot(-1)]
    const expected = lines(restic('diff', '--json', ...(metadata ? ['--metadata'] : []), from.id, to.id))
    const changes: string[] = []
    const result = await diffTrees(
      repository,
      { from: from.tree, to: to.tree, metadata },
      ({ path, modifier }) => changes.push(`${modifier} ${shownByGo(path)}`),
    )
    const told = expected.filter((line) => line['message_type'] === 'change')
    expect(changes).toEqual(told.map((line) => `${String(line['modifier'])} ${String(line['path'])}`))
    expect(changes.length).toBeGreaterThan(2)
    const counts = ({ files, dirs, others, dataBlobs, treeBlobs, bytes }: typeof result.added) => {
      return { files, dirs, others, data_blobs: dataBlobs, tree_blobs: treeBlobs, bytes }
    }
    expect(expected.at(-1)).toMatchObject({
      changed_files: result.changedFiles,
      added: counts(result.added),
      removed: counts(result.removed),
    })
  })

  test.each<StatsMode>(['restore-size', 'files-by-contents', 'blobs-per-file', 'raw-data'])(
    'stats %s',
    async (mode) => {
      const [expected = {}] = lines(restic('stats', '--json', '--mode', mode))
      const found = await stats(repository, { snapshots, mode })
      expect(found.totalSize).toBe(expected['total_size'])
      expect(found.totalFileCount).toBe(expected['total_file_count'] ?? 0)
      expect(found.totalBlobCount).toBe(expected['total_blob_count'] ?? 0)
      expect(found.totalUncompressedSize).toBe(expected['total_uncompressed_size'] ?? 0)
      expect(found.compressionRatio).toBeCloseTo(Number(expected['compression_ratio'] ?? 0), 9)
      expect(found.compressionSpaceSaving).toBeCloseTo(Number(expected['compression_space_saving'] ?? 0), 9)
    },
  )

  test('find by name', async () => {
    const expected = JSON.parse(restic('find', '--json', 'hard-*')) as {
      matches: { path: string }[]
      snapshot: string
    }[]
    const pattern = { matches: (path: string) => /\/hard-[^/]*$/.test(path), childMayMatch: () => true }
    const found = await Array.fromAsync(findEntries(repository, snapshots, { pattern }))
    const ours = found.map((entry) => `${entry.snapshot.id} ${entry.path}`).toSorted()
    expect(ours).toEqual(expected.flatMap((s) => s.matches.map((m) => `${s.snapshot} ${m.path}`)).toSorted())
    const late = { pattern, oldestNs: 10n ** 21n }
    expect(await Array.fromAsync(findEntries(repository, snapshots, late))).toEqual([])
  })

  test('find by blob, by its first digits, by tree and by pack', async () => {
    const [file] = await Array.fromAsync(
      listTree(repository, { tree: snapshot(0).tree, directories: ['/tree/large/text'] }),
    )
    const id = file?.node.content?.[0] ?? ''
    const seen = (args: readonly string[]) =>
      (JSON.parse(restic('find', '--json', ...args)) as { id: string; path: string; snapshot: string }[])
        .map((o) => `${o.id} ${o.path} ${o.snapshot}`)
        .toSorted()
    const ours = async (kind: 'blob' | 'tree' | 'pack', ids: readonly string[]) =>
      (await Array.fromAsync(findObjects(repository, snapshots, { kind, ids })))
        .map((o) => `${o.id} ${shownByGo(o.path)} ${o.snapshot.id}`)
        .toSorted()
    expect(await ours('blob', [id])).toEqual(seen(['--blob', id]))
    expect(await ours('blob', [id.slice(0, 8)])).toEqual(seen(['--blob', id]))
    expect(await ours('tree', [snapshot(0).tree])).toEqual(seen(['--tree', snapshot(0).tree]))
    // restic repeats a file for each time the same blob is in it
    const pack = repository.index.find('data', id)[0]?.packId ?? ''
    expect(await ours('pack', [pack])).toEqual([...new Set(seen(['--pack', pack]))])
    await expect(ours('pack', ['0000'.repeat(16)])).rejects.toMatchObject({ code: 'NotFound' })
    await expect(ours('blob', ['nonsense'])).rejects.toMatchObject({ code: 'InvalidInput' })
  })

  test('cat', async () => {
    const key = restic('list', 'keys').trim()
    const index = restic('list', 'index').split('\n')[0] ?? ''
    const cases = [
      ['config', ''],
      ['masterkey', ''],
      ['index', index],
      ['snapshot', snapshot(0).id],
    ] as const
    for (const [kind, id] of cases) {
      const { bytes, isText } = await catObject(repository, { kind, id })
      expect(isText).toBe(true)
      expect(`${bytes.toString('utf8')}\n`, kind).toBe(restic('cat', kind, ...(id === '' ? [] : [id])))
    }
    // restic rewrites the time it was made in its own form
    const { bytes: ours } = await catObject(repository, { kind: 'key', id: key.slice(0, 9) })
    const parsed = (json: string): unknown => ({ ...(JSON.parse(json) as object), created: '' })
    expect(parsed(ours.toString('utf8'))).toEqual(parsed(restic('cat', 'key', key)))
    const tree = await catObject(repository, { kind: 'tree', id: `${snapshot(0).id}:/tree` })
    expect(tree.bytes.toString('utf8')).toBe(restic('cat', 'tree', `${snapshot(0).id}:/tree`))
    await expect(catObject(repository, { kind: 'blob', id: 'ff' })).rejects.toMatchObject({
      code: 'NotFound',
    })
  })

  test('dump: files byte by byte, and a tar archive that the system’s tar unpacks to equal entries', async () => {
    const { tree } = snapshot(-1)
    const { kind, bytes } = await openDump(repository, { tree, path: '/tree/large/text' })
    expect(kind).toBe('file')
    const whole = Buffer.concat(await Array.fromAsync(bytes))
    const text = spawnSync(
      tool.command[0] ?? '',
      ['--no-cache', 'dump', snapshot(-1).id, '/tree/large/text'],
      {
        env: { ...process.env, RESTIC_REPOSITORY: scene.repo, RESTIC_PASSWORD: testPassword },
        maxBuffer: 1 << 28,
      },
    )
    expect(whole.equals(text.stdout)).toBe(true)
    const archive = `${scene.dir}/all.tar`
    const dumped = await openDump(repository, { tree, path: '/' })
    writeFileSync(archive, Buffer.concat(await Array.fromAsync(dumped.bytes)))
    const target = scene.fresh('untarred')
    mkdirSync(target)
    const flags = ['--xattrs', '--xattrs-include=*', '--acls', '-xpf', archive, '-C', target]
    expect(spawnSync('tar', flags).status).toBe(0)
    const tolerance = { absentTypes: ['socket', 'fifo', 'dev', 'chardev'] }
    const expected = readManifest(scene.tree, scene.libc)
    expect(compareManifests(expected, readManifest(`${target}/tree`, scene.libc), tolerance)).toEqual([])
    await expect(openDump(repository, { tree, path: '/tree/absent' })).rejects.toMatchObject({
      code: 'NotFound',
    })
    await expect(openDump(repository, { tree, path: '/tree/links/emoji' })).rejects.toMatchObject({
      code: 'InvalidInput',
    })
  })

  test('snapshot:subfolder', async () => {
    const { tree, subfolder } = await resolveTree(repository, `${snapshot(0).id.slice(0, 10)}:/tree/large/`)
    expect(subfolder).toBe('/tree/large/')
    expect((await repository.loadTree(tree)).map(({ name }) => name)).toContain('text')
    expect(splitSnapshotPath('latest')).toEqual({ snapshot: 'latest', subfolder: '' })
    await expect(findSubtree(repository, snapshot(0).tree, 'tree/large/text')).rejects.toMatchObject({
      code: 'InvalidInput',
    })
    await expect(findSubtree(repository, snapshot(0).tree, 'nowhere')).rejects.toMatchObject({
      code: 'NotFound',
    })
  })
})
