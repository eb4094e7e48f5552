import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jsonMessage, testPassword } from '../../../../tests/archive-tool.ts'
import { nameFromBytes, nameToBytes } from '../format/byte-name.ts'
import { repairIndex } from '../maintain/repair-index.ts'
import { openPosix } from '../posix/posix.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import type { ProgressEvent } from '../progress.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { openMemoryStore } from '../stores/memory.ts'
import {
  allNodes,
  backUp,
  cheapRepository,
  contentAt,
  contentOf,
  diskRepository,
  failedBackUp,
  makeFiles,
  makeSparse,
  nodeAt,
  noise,
  stockRestic,
  temporaryFiles,
} from './archive.testing.ts'
import { backup } from './backup.ts'
import { openSelection } from './exclude.ts'

const MIB = 1024 * 1024
const scratch = scratchDirectory('backup')
let directories = 0
const home = process.cwd()
// relative targets leave out the directories above, which are shared with others
beforeAll(() => process.chdir(scratch))
afterAll(() => process.chdir(home))

const newDirectory = (): string => {
  const path = join(scratch, `${++directories}`)
  mkdirSync(path)
  return path
}

/** Paths of all nodes below `dir`, relative to it. */
async function below(repository: Repository, tree: string, dir: string): Promise<string[]> {
  const paths = [...(await allNodes(repository, tree)).keys()]
  return paths.filter((path) => path.startsWith(`${dir}/`)).map((path) => path.slice(dir.length + 1))
}

async function directoryAt(repository: Repository, tree: string, name: string): Promise<{ subtree: string }> {
  const node = (await repository.loadTree(tree)).find((entry) => entry.name === name)
  if (node === undefined || node.subtree === null) throw new Error(`no directory ${name} in ${tree}`)
  return { subtree: node.subtree }
}

describe('a backup', () => {
  it.each([
    ['into memory, by way of the main thread', async () => await cheapRepository()],
    ['onto a disk', async () => await diskRepository(join(newDirectory(), 'repo'))],
    ['in format version 1', async () => await cheapRepository(openMemoryStore(), { version: 1 })],
    ['uncompressed', async () => await cheapRepository(openMemoryStore(), { compressionLevel: 0 })],
    [
      'with the portable primitives',
      async () => {
        const store = openMemoryStore()
        await cheapRepository(store)
        return await openRepository(store, { password: testPassword, portable: true })
      },
    ],
  ])('%s stores every byte of files of all sizes', async (_, open) => {
    const dir = newDirectory()
    const files = {
      empty: Buffer.alloc(0),
      one: Buffer.from('x'),
      'sub/text': Buffer.from('the same words again and again '.repeat(20_000)),
      'sub/chunk': noise(1, 512 * 1024),
      'sub/more': noise(2, 4 * MIB),
      'sub/large': noise(3, 9 * MIB),
      'sub/again': noise(1, 512 * 1024),
    }
    makeFiles(dir, files)
    const repository = await open()
    const first = await backUp(repository, { paths: [dir], workers: 2 })
    for (const [name, body] of Object.entries(files)) {
      expect((await contentAt(repository, first.tree, join(dir, name))).equals(body)).toBe(true)
    }
    expect(first).toMatchObject({ errorCount: 0, failures: [], notes: [] })
    const bytes = Object.values(files).reduce((sum, body) => sum + body.length, 0)
    expect(first.summary).toMatchObject({ filesNew: 7, totalFilesProcessed: 7, totalBytesProcessed: bytes })
    const second = await backUp(repository, { paths: [dir] })
    const subtree = async (tree: string) => (await nodeAt(repository, tree, dir)).subtree
    // those above it are shared with others
    expect(await subtree(second.tree)).toBe(await subtree(first.tree))
    expect(second.parent?.id).toBe(first.snapshot?.id)
    expect(second.summary).toMatchObject({ filesUnmodified: 7, dataBlobs: 0, totalBytesProcessed: bytes })
    const compresses = repository.config.version === 2 && repository.compressionLevel > 0
    const text = (await nodeAt(repository, first.tree, join(dir, 'sub/text'))).content ?? []
    const packed = text.flatMap((id) => repository.index.find('data', id))
    expect(packed.every((blob) => blob.uncompressedLength > 0)).toBe(compresses)
    await repository[Symbol.asyncDispose]()
  })

  it('says in the snapshot whose it is, of what, and when', async () => {
    const dir = newDirectory()
    const repository = await cheapRepository()
    const { snapshot } = await backUp(repository, {
      paths: [dir],
      hostname: 'elsewhere',
      tags: ['nightly', 'with space'],
      excludes: ['*.tmp'],
      timeNs: 1_600_000_000_123_456_789n,
      programVersion: 'holdfast test',
    })
    const { snapshots } = await loadSnapshots(repository)
    expect(snapshots).toEqual([snapshot])
    expect(snapshot).toMatchObject({
      hostname: 'elsewhere',
      tags: ['nightly', 'with space'],
      excludes: ['*.tmp'],
      paths: [dir],
      programVersion: 'holdfast test',
      summary: { dirsNew: dir.split('/').length - 1 },
    })
    expect(snapshot?.time).toMatch(/^2020-09-13T.*\.123456789/)
    expect(snapshot).not.toHaveProperty('parent')
  })

  it('needs something to back up', async () => {
    expect(await failedBackUp(await cheapRepository(), {})).toMatchObject({ code: 'InvalidInput' })
  })

  it('tells what it does as it goes', async () => {
    const dir = newDirectory()
    makeFiles(dir, { a: 'a', 'sub/large': noise(1, 5 * MIB) })
    const repository = await cheapRepository()
    const events: ProgressEvent[] = []
    await repository.loadIndex()
    await backup(repository, { paths: [dir], workers: 1 }, (event) => events.push(event))
    const items = events.filter((event) => event.kind === 'item').map(({ path, action }) => [action, path])
    expect(items).toContainEqual(['new', join(dir, 'a')])
    expect(items).toContainEqual(['new', join(dir, 'sub/large')])
    expect(items).toContainEqual(['new', `${join(dir, 'sub')}/`])
    expect(events.some((event) => event.kind === 'status')).toBe(true)
  })

  it('stores nothing in a dry run, and counts as if it had', async () => {
    const dir = newDirectory()
    makeFiles(dir, { a: noise(1, 100_000), large: noise(2, 6 * MIB) })
    for (const open of [cheapRepository, async () => await diskRepository(join(newDirectory(), 'repo'))]) {
      const repository = await open()
      const dry = await backUp(repository, { paths: [basename(dir)], dryRun: true, packBytes: MIB })
      expect(dry.snapshot).toBeUndefined()
      for (const type of ['pack', 'index', 'snapshot'] as const)
        expect(await repository.listFiles(type)).toEqual([])
      if (repository.store.localDirectory !== undefined)
        expect(temporaryFiles(repository.store.localDirectory)).toEqual([])
      const real = await backUp(repository, { paths: [basename(dir)] })
      expect(dry.tree).toBe(real.tree)
      expect(dry.summary.dataBlobs).toBe(real.summary.dataBlobs)
      expect(dry.summary.dataAdded).toBe(real.summary.dataAdded)
    }
  })

  it('makes no snapshot of what did not change, if told so', async () => {
    const dir = newDirectory()
    makeFiles(dir, { a: 'a' })
    const repository = await cheapRepository()
    const options = { paths: [basename(dir)], skipIfUnchanged: true }
    const first = await backUp(repository, options)
    const again = await backUp(repository, options)
    expect(again).toMatchObject({ snapshot: undefined, tree: first.tree, parent: first.snapshot })
    makeFiles(dir, { b: 'b' })
    expect((await backUp(repository, options)).snapshot).toBeDefined()
  })
})

describe('entries of every kind', () => {
  it('keep names that are not UTF-8, of files, large files, directories, links and their targets', async () => {
    const dir = newDirectory()
    const odd = nameFromBytes(Buffer.from([0x66, 0xff, 0xfe, 0x2e, 0xc3, 0x28]))
    const at = (...names: string[]): Buffer => nameToBytes([dir, ...names].join('/'))
    mkdirSync(at(`d${odd}`))
    writeFileSync(at(`d${odd}`, `s${odd}`), 'small')
    writeFileSync(at(`d${odd}`, `l${odd}`), noise(1, 9 * MIB))
    symlinkSync(nameToBytes(`to ${odd}`), at(`d${odd}`, `k${odd}`))
    writeFileSync(at('\ufffd'), 'a real replacement character')
    const repository = await cheapRepository()
    for (const expected of ['new', 'unchanged']) {
      const { tree, errorCount, summary } = await backUp(repository, { paths: [dir] })
      expect(errorCount).toBe(0)
      expect(expected === 'new' ? summary.filesNew : summary.filesUnmodified).toBe(3)
      const inside = join(dir, `d${odd}`)
      expect((await contentAt(repository, tree, `${inside}/s${odd}`)).toString()).toBe('small')
      expect((await contentAt(repository, tree, `${inside}/l${odd}`)).equals(noise(1, 9 * MIB))).toBe(true)
      expect(await nodeAt(repository, tree, `${inside}/k${odd}`)).toMatchObject({
        type: 'symlink',
        linktarget: `to ${odd}`,
      })
      expect((await contentAt(repository, tree, join(dir, '\ufffd'))).toString()).toMatch(/^a real/)
    }
  })

  it('keep their attributes, links among themselves and device numbers', async () => {
    const dir = newDirectory()
    const posix = openPosix()
    makeFiles(dir, { one: 'hard' })
    linkSync(join(dir, 'one'), join(dir, 'two'))
    posix.mkfifo(Buffer.from(join(dir, 'fifo')), 0o600)
    chmodSync(join(dir, 'one'), 0o4751)
    utimesSync(join(dir, 'one'), 1_500_000_000, 1_500_000_001)
    const root = process.getuid?.() === 0
    if (root) posix.mknod(Buffer.from(join(dir, 'null')), 0o020666, 0x103n)
    const repository = await cheapRepository()
    const { tree } = await backUp(repository, { paths: [dir] })
    const one = await nodeAt(repository, tree, join(dir, 'one'))
    const two = await nodeAt(repository, tree, join(dir, 'two'))
    expect(one).toMatchObject({ links: 2, inode: lstatSync(join(dir, 'one'), { bigint: true }).ino })
    expect(two).toEqual({ ...one, name: 'two' })
    // setuid is a bit of its own in Go's modes
    expect(one.mode).toBe(0o751 + 2 ** 23)
    expect(Date.parse(one.mtime)).toBe(1_500_000_001_000)
    expect(one.atime).toBe(one.mtime)
    expect(await nodeAt(repository, tree, join(dir, 'fifo'))).toMatchObject({ type: 'fifo', content: null })
    if (root)
      expect(await nodeAt(repository, tree, join(dir, 'null'))).toMatchObject({
        type: 'chardev',
        device: 0x103n,
      })
    const withAtime = await backUp(repository, { paths: [dir], reading: { withAtime: true } })
    expect((await nodeAt(repository, withAtime.tree, join(dir, 'one'))).atime).not.toBe(one.mtime)
  })

  it('with holes are stored as the zeros they read as, without reading them', async () => {
    const dir = newDirectory()
    const size = 300 * MIB
    const parts = [
      [0, noise(1, 100)],
      [10 * MIB + 5, noise(2, 70_000)],
      [40 * MIB, noise(3, MIB)],
      [299 * MIB, noise(4, 4096)],
    ] as const
    makeSparse(join(dir, 'sparse'), size, parts)
    makeSparse(join(dir, 'hole'), 20 * MIB, [])
    makeSparse(join(dir, 'small'), 3 * MIB, [[2 * MIB, Buffer.from('end')]])
    const repository = await cheapRepository()
    const { tree, summary, notes } = await backUp(repository, { paths: [dir] })
    expect(notes).toEqual([])
    expect(summary.totalBytesProcessed).toBe(size + 23 * MIB)
    const node = await nodeAt(repository, tree, join(dir, 'sparse'))
    expect(node.size).toBe(size)
    const expected = readFileSync(join(dir, 'sparse'))
    let at = 0
    const loaded = new Map<string, Buffer>()
    for (const id of node.content ?? []) {
      const chunk = loaded.get(id) ?? (await repository.loadBlob('data', id))
      loaded.set(id, chunk)
      expect(chunk.compare(expected, at, at + chunk.length)).toBe(0)
      at += chunk.length
    }
    expect(at).toBe(size)
    // zeros are one chunk, many times over
    expect(loaded.size).toBeLessThan(20)
    const hole = await nodeAt(repository, tree, join(dir, 'hole'))
    expect(new Set(hole.content).size).toBe(1)
    const small = await contentAt(repository, tree, join(dir, 'small'))
    expect(small.equals(readFileSync(join(dir, 'small')))).toBe(true)
  })

  it('can be cut into chunks of one size, so that only changed ones are stored again', async () => {
    const dir = newDirectory()
    const bytes = noise(1, 10 * MIB + 17)
    makeFiles(dir, { large: bytes, small: bytes.subarray(0, 2 * MIB + 1) })
    const repository = await cheapRepository()
    const reading = { fixedChunkBytes: MIB }
    const first = await backUp(repository, { paths: [dir], reading })
    const lengths = async (name: string) =>
      ((await nodeAt(repository, first.tree, join(dir, name))).content ?? []).map((id) =>
        repository.index.plainLength('data', id),
      )
    expect(await lengths('large')).toEqual([...Array<number>(10).fill(MIB), 17])
    expect(await lengths('small')).toEqual([MIB, MIB, 1])
    bytes.writeUInt32LE(1, 5 * MIB)
    makeFiles(dir, { large: bytes })
    const second = await backUp(repository, { paths: [dir], reading })
    expect(second.summary).toMatchObject({ dataBlobs: 1, filesChanged: 1, filesUnmodified: 1 })
    expect((await contentAt(repository, second.tree, join(dir, 'large'))).equals(bytes)).toBe(true)
  })

  it('number 70,000 in one directory as well as none', async () => {
    const dir = newDirectory()
    mkdirSync(join(dir, 'many'))
    mkdirSync(join(dir, 'none'))
    const count = 70_000
    for (let i = 0; i < count; i++) symlinkSync('x', join(dir, 'many', `${i}`))
    const repository = await cheapRepository()
    const first = await backUp(repository, { paths: [basename(dir)] })
    const { subtree } = await directoryAt(repository, first.tree, basename(dir))
    const many = await directoryAt(repository, subtree, 'many')
    const none = await directoryAt(repository, subtree, 'none')
    const names = (await repository.loadTree(many.subtree)).map((node) => node.name)
    expect(names).toEqual(Array.from({ length: count }, (_, i) => `${i}`).sort())
    expect(await repository.loadTree(none.subtree)).toEqual([])
    rmSync(join(dir, 'many'), { recursive: true })
  })
})

describe('what is left out', () => {
  it('are files over a size, whether listed or not', async () => {
    const dir = newDirectory()
    makeFiles(dir, { small: noise(1, 1000), 'sub/over': noise(2, 1001), 'sub/large': noise(3, 5 * MIB) })
    const repository = await cheapRepository()
    const bySelection = await backUp(repository, {
      paths: [dir],
      selection: openSelection({ excludeLargerThan: 1000 }),
    })
    expect(await below(repository, bySelection.tree, dir)).toEqual(['small', 'sub'])
    const byRule = await backUp(repository, { paths: [dir], reading: { maxFileBytes: 1000 }, parent: 'none' })
    expect(await below(repository, byRule.tree, dir)).toEqual(['small', 'sub'])
    expect(byRule.errorCount).toBe(0)
  })

  it('is what the excludes name, but never a target itself', async () => {
    const dir = newDirectory()
    makeFiles(dir, { 'keep/a': '1', 'skip/b': '2', 'keep/skip': '3' })
    const repository = await cheapRepository()
    const selection = openSelection({ excludes: ['skip'] })
    const { tree } = await backUp(repository, { paths: [dir], selection })
    expect(await below(repository, tree, dir)).toEqual(['keep', 'keep/a'])
    const { tree: named } = await backUp(repository, { paths: [join(dir, 'skip')], selection })
    // the target is named, what is in it is not
    expect(await below(repository, named, dir)).toEqual(['skip'])
  })

  it('is what lies on another file system, if told so: mount points stay as empty directories', async (test) => {
    const dir = newDirectory()
    makeFiles(dir, { 'a/file': '1' })
    mkdirSync(join(dir, 'mounted'))
    const mounted = spawnSync('mount', ['-t', 'tmpfs', 'holdfast-test', join(dir, 'mounted')]).status === 0
    if (!mounted) test.skip('needs the right to mount')
    try {
      makeFiles(dir, { 'mounted/file': '2' })
      const repository = await cheapRepository()
      const selection = openSelection({ oneFileSystem: true })
      const one = await backUp(repository, { paths: [dir], selection })
      expect(await below(repository, one.tree, dir)).toEqual(['a', 'a/file', 'mounted'])
      const all = await backUp(repository, { paths: [dir], parent: 'none' })
      expect(await below(repository, all.tree, dir)).toContain('mounted/file')
      const target = await backUp(repository, { paths: [join(dir, 'mounted')], selection })
      expect(await below(repository, target.tree, dir)).toContain('mounted/file')
      // a target that stands for its entries is no reason to cross into another file system
      process.chdir(dir)
      const here = await backUp(repository, { paths: ['.'], selection }).finally(() => process.chdir(scratch))
      expect([...(await allNodes(repository, here.tree)).keys()]).toEqual(['/a', '/a/file', '/mounted'])
    } finally {
      spawnSync('umount', [join(dir, 'mounted')])
    }
  })
})

describe('the parent snapshot', () => {
  it('is the newest of the same host and paths that is not later, unless told otherwise', async () => {
    const dir = newDirectory()
    makeFiles(dir, { a: 'a' })
    const repository = await cheapRepository()
    const at = (seconds: number) => ({ timeNs: BigInt(seconds) * 1_000_000_000n })
    const first = await backUp(repository, { paths: [dir], hostname: 'h', tags: ['x'], ...at(1000) })
    const second = await backUp(repository, { paths: [dir], hostname: 'h', tags: ['y'], ...at(2000) })
    await backUp(repository, { paths: [dir], hostname: 'other', ...at(3000) })
    await backUp(repository, { paths: [join(dir, 'a')], hostname: 'h', ...at(3000) })
    const parent = async (options: object) =>
      (await backUp(repository, { paths: [dir], hostname: 'h', dryRun: true, ...options })).parent?.id
    expect(await parent(at(4000))).toBe(second.snapshot?.id)
    expect(await parent(at(1500))).toBe(first.snapshot?.id)
    expect(await parent(at(500))).toBeUndefined()
    expect(await parent({ parent: 'none' })).toBeUndefined()
    expect(await parent({ parent: first.snapshot?.id.slice(0, 12) })).toBe(first.snapshot?.id)
    expect(await parent({ groupBy: new Set(['tags']), tags: ['x'] })).toBe(first.snapshot?.id)
    expect(await failedBackUp(repository, { paths: [dir], parent: 'abcdef' })).toMatchObject({
      code: 'NotFound',
    })
  })

  it('with a damaged tree is noted, and what is below is read again', async () => {
    const dir = newDirectory()
    makeFiles(dir, { 'a/x': '1', 'b/y': '2' })
    const files = new Map<string, Buffer>()
    const repository = await cheapRepository(openMemoryStore({ files }))
    const first = await backUp(repository, { paths: [dir] })
    const { subtree } = await nodeAt(repository, first.tree, join(dir, 'a'))
    const [copy] = repository.index.find('tree', subtree ?? '')
    if (copy === undefined) throw new Error('no such tree')
    const pack = files.get(`data/${copy.packId.slice(0, 2)}/${copy.packId}`)
    pack?.writeUInt8(pack.readUInt8(copy.offset + 20) ^ 1, copy.offset + 20)
    const second = await backUp(repository, { paths: [dir] })
    expect(second.notes).toMatchObject([{ path: join(dir, 'a'), fatal: false, message: /parent/ }])
    expect(second).toMatchObject({ errorCount: 0, summary: { filesNew: 1, filesUnmodified: 1 } })
  })

  it('does not keep a blob that is missing from the repository', async () => {
    const dir = newDirectory()
    makeFiles(dir, { small: noise(1, 3000), large: noise(2, 6 * MIB), same: 'same' })
    const files = new Map<string, Buffer>()
    const repository = await cheapRepository(openMemoryStore({ files }))
    const first = await backUp(repository, { paths: [dir], packBytes: 2000 })
    for (const name of ['small', 'large']) {
      const [id = ''] = (await nodeAt(repository, first.tree, join(dir, name))).content ?? []
      const [copy] = repository.index.find('data', id)
      files.delete(`data/${copy?.packId.slice(0, 2)}/${copy?.packId}`)
    }
    // as repair index does: what is gone is no longer said to be there
    for (const { id } of await repository.listFiles('index')) await repository.removeFile('index', id)
    await repairIndex(repository, { readAllPacks: true })
    const second = await backUp(repository, { paths: [dir] })
    expect(second.notes.map((note) => note.path).sort()).toEqual(['large', 'small'].map((n) => join(dir, n)))
    expect(second.summary).toMatchObject({ filesChanged: 2, filesUnmodified: 1, dataBlobs: 2 })
    for (const name of ['small', 'large'])
      await contentOf(repository, await nodeAt(repository, second.tree, join(dir, name)))
  })
})

describe('two backups into one repository', () => {
  it('at the same time both succeed, and the repository is sound', async () => {
    const repoDir = join(newDirectory(), 'repo')
    const one = await diskRepository(repoDir)
    const other = await openRepository(openFilesystemStore(repoDir), { password: testPassword })
    const dirs = [newDirectory(), newDirectory()]
    for (const [d, dir] of dirs.entries()) {
      for (let i = 0; i < 30; i++) makeFiles(dir, { [`${i % 5}/${i}`]: noise(i + d * 15, 100_000) })
    }
    const results = await Promise.all(
      [one, other].map(
        async (repository, i) => await backUp(repository, { paths: [dirs[i] ?? ''], packBytes: MIB }),
      ),
    )
    stockRestic(repoDir, 'check', '--read-data')
    await one.loadIndex()
    for (const [i, { tree }] of results.entries()) {
      expect((await below(one, tree, dirs[i] ?? '')).length).toBe(35)
    }
  })
})

describe('the summary', () => {
  it('has the numbers that stock restic has for the same tree', async (test) => {
    const dir = newDirectory()
    const [ours, theirs] = [join(newDirectory(), 'repo'), join(newDirectory(), 'repo')]
    makeFiles(dir, {
      'a/one': '1',
      'a/two': noise(1, 100_000),
      'b/large': noise(2, 6 * MIB),
      'b/c/deep': '3',
      empty: '',
      'b/copy': noise(1, 100_000),
    })
    symlinkSync('one', join(dir, 'a/link'))
    mkdirSync(join(dir, 'nothing'))
    const repository = await diskRepository(ours)
    await diskRepository(theirs)
    const compare = async (paths: readonly string[]): Promise<void> => {
      const { summary } = await backUp(repository, { paths })
      const printed = stockRestic(theirs, 'backup', '--json', ...paths)
      if (printed === undefined) return test.skip('needs restic')
      const message = jsonMessage(printed, 'summary')
      const numbers = (summaryOf: Readonly<Record<string, unknown>>) => {
        // of the directories above, /tmp is shared with others who may change it in between
        const changed = Number(summaryOf['dirsChanged']) + Number(summaryOf['dirsUnmodified'])
        return { ...summaryOf, dirsChanged: changed, dirsUnmodified: changed }
      }
      expect(
        numbers({
          filesNew: summary.filesNew,
          filesChanged: summary.filesChanged,
          filesUnmodified: summary.filesUnmodified,
          dirsNew: summary.dirsNew,
          dirsChanged: summary.dirsChanged,
          dirsUnmodified: summary.dirsUnmodified,
          dataBlobs: summary.dataBlobs,
          files: summary.totalFilesProcessed,
          bytes: summary.totalBytesProcessed,
        }),
      ).toEqual(
        numbers({
          filesNew: message['files_new'],
          filesChanged: message['files_changed'],
          filesUnmodified: message['files_unmodified'],
          dirsNew: message['dirs_new'],
          dirsChanged: message['dirs_changed'],
          dirsUnmodified: message['dirs_unmodified'],
          dataBlobs: message['data_blobs'],
          files: message['total_files_processed'],
          bytes: message['total_bytes_processed'],
        }),
      )
    }
    await compare([dir])
    await compare([dir])
    makeFiles(dir, { 'a/one': 'changed', 'a/new': 'new' })
    chmodSync(join(dir, 'nothing'), 0o700)
    rmSync(join(dir, 'empty'))
    await compare([dir])
    // files and directories that became each other
    rmSync(join(dir, 'nothing'), { recursive: true })
    makeFiles(dir, { nothing: 'now a file' })
    rmSync(join(dir, 'a/link'))
    makeFiles(dir, { 'a/link': 'no link' })
    await compare([dir])
    await compare([join(dir, 'a/one'), join(dir, 'b')])
    await compare([join(dir, 'a/one'), join(dir, 'b')])
  })
})
