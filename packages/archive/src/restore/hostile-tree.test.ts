import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { HoldfastError } from '@holdfast/contract'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sha256Hex } from '../format/ids.ts'
import { walkTree } from '../query/walk-tree.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { handMade, nodeOf } from './hand-made.testing.ts'
import { restoreSnapshot } from './restore-snapshot.ts'

let dir = ''
let outside = ''
let target = ''

beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/holdfast-hostile-`)
  outside = `${dir}/outside`
  target = `${dir}/target`
  mkdirSync(outside)
  mkdirSync(target)
  writeFileSync(`${outside}/precious`, 'precious')
})

afterEach(() => rmSync(dir, { recursive: true, force: true }))

function outsideIsUntouched(): void {
  expect(readdirSync(outside)).toEqual(['precious'])
  expect(readFileSync(`${outside}/precious`, 'utf8')).toBe('precious')
  expect(readdirSync(dir).toSorted()).toEqual(['outside', 'target'])
}

const oneLine = (name: string, rest: string): string =>
  `{"name":${JSON.stringify(name)},"mtime":"2020-01-01T00:00:00Z","atime":"2020-01-01T00:00:00Z","ctime":"2020-01-01T00:00:00Z","uid":0,"gid":0,${rest}}`

test.each(['../escaped', '..', '.', '', 'a/b', '/abs', 'nul\u0000byte'])(
  'a tree with an entry named %j is refused and nothing of it is restored',
  async (name) => {
    const made = await handMade()
    const tree = await made.rawTree(`{"nodes":[${oneLine(name, '"type":"file","content":[]')}]}\n`)
    const result = await restoreSnapshot(await made.finish(), { tree, target })
    expect(result.errors).toHaveLength(1)
    expect(result.errors[0]?.code).toBe('Damaged')
    expect(readdirSync(target)).toEqual([])
    outsideIsUntouched()
  },
)

test('a name given twice is refused: a link and then a directory of the same name', async () => {
  const made = await handMade()
  const inner = await made.tree([nodeOf({ name: 'precious', type: 'file' })])
  const link = oneLine('a', `"type":"symlink","linktarget":${JSON.stringify(outside)},"content":null`)
  const folder = oneLine('a', `"type":"dir","subtree":"${inner}"`)
  const tree = await made.rawTree(`{"nodes":[${link},${folder}]}\n`)
  const result = await restoreSnapshot(await made.finish(), { tree, target })
  expect(result.errors[0]?.code).toBe('Damaged')
  outsideIsUntouched()
})

test('one bad directory does not keep its neighbours from being restored', async () => {
  const made = await handMade()
  const bad = await made.rawTree(`{"nodes":[${oneLine('..', '"type":"file","content":[]')}]}\n`)
  const good = await made.tree([nodeOf({ name: 'file', type: 'file' })])
  const tree = await made.tree([
    nodeOf({ name: 'bad', type: 'dir', subtree: bad }),
    nodeOf({ name: 'gone', type: 'dir', subtree: sha256Hex(Buffer.from('nowhere')) }),
    nodeOf({ name: 'good', type: 'dir', subtree: good }),
  ])
  const result = await restoreSnapshot(await made.finish(), { tree, target })
  expect(result.errors.map(({ path }) => path)).toEqual(['/bad', '/gone'])
  expect(existsSync(`${target}/good/file`)).toBe(true)
})

test('a link that stands where the snapshot has a directory is replaced, not followed', async () => {
  symlinkSync(outside, `${target}/a`)
  const made = await handMade()
  const content = Buffer.from('from the snapshot')
  const inner = await made.tree([
    nodeOf({ name: 'precious', type: 'file', size: content.length, content: [await made.data(content)] }),
  ])
  const tree = await made.tree([nodeOf({ name: 'a', type: 'dir', subtree: inner })])
  const result = await restoreSnapshot(await made.finish(), { tree, target, delete: true })
  expect(result.errors).toEqual([])
  expect(lstatSync(`${target}/a`).isDirectory()).toBe(true)
  expect(readFileSync(`${target}/a/precious`, 'utf8')).toBe('from the snapshot')
  outsideIsUntouched()
})

test('a link that stands where the snapshot has a file is replaced, not written through', async () => {
  symlinkSync(`${outside}/precious`, `${target}/f`)
  const made = await handMade()
  const content = Buffer.from('new')
  const tree = await made.tree([
    nodeOf({ name: 'f', type: 'file', size: 3, content: [await made.data(content)] }),
  ])
  const result = await restoreSnapshot(await made.finish(), { tree, target })
  expect(result.errors).toEqual([])
  expect(lstatSync(`${target}/f`).isFile()).toBe(true)
  outsideIsUntouched()
})

test('with the policy never, a link in the way of a directory is reported and left', async () => {
  symlinkSync(outside, `${target}/a`)
  const made = await handMade()
  const inner = await made.tree([nodeOf({ name: 'x', type: 'file' })])
  const tree = await made.tree([nodeOf({ name: 'a', type: 'dir', subtree: inner })])
  const result = await restoreSnapshot(await made.finish(), { tree, target, overwrite: 'never' })
  expect(result.errors.map(({ code }) => code)).toEqual(['TargetUnwritable'])
  expect(readlinkSync(`${target}/a`)).toBe(outside)
  outsideIsUntouched()
})

test('--delete removes a link, never what it points to', async () => {
  symlinkSync(outside, `${target}/link`)
  mkdirSync(`${target}/folder`)
  symlinkSync(outside, `${target}/folder/link`)
  const made = await handMade()
  const tree = await made.tree([nodeOf({ name: 'only', type: 'file' })])
  const result = await restoreSnapshot(await made.finish(), { tree, target, delete: true })
  expect(result.filesDeleted).toBe(3)
  expect(readdirSync(target)).toEqual(['only'])
  outsideIsUntouched()
})

test('somebody who exchanges directories for links all the time gets nothing written outside', async () => {
  const made = await handMade()
  const nodes = []
  for (let i = 0; i < 40; i++) {
    const content = Buffer.from(`content ${i} `.repeat(400))
    const parts = [content.subarray(0, 1500), content.subarray(1500)]
    const ids = [await made.data(parts[0] ?? content), await made.data(parts[1] ?? content)]
    const files = await made.tree([
      nodeOf({ name: 'precious', type: 'file', size: content.length, content: ids }),
      nodeOf({ name: 'small', type: 'file', size: parts[0]?.length ?? 0, content: ids.slice(0, 1) }),
    ])
    nodes.push(nodeOf({ name: `d${String(i).padStart(2, '0')}`, type: 'dir', subtree: files }))
  }
  const repository = await made.finish()
  const tree = await made.tree(nodes)
  await made.finish()
  const script = `const fs = require('node:fs'); const [t, o] = process.argv.slice(1)
    for (;;) for (const name of fs.readdirSync(t)) { try { fs.renameSync(t + '/' + name, t + '/.' + name); fs.symlinkSync(o, t + '/' + name);
      fs.unlinkSync(t + '/' + name); fs.renameSync(t + '/.' + name, t + '/' + name) } catch {} }`
  const swapper = spawn(process.execPath, ['-e', script, target, outside], { stdio: 'ignore' })
  try {
    for (let round = 0; round < 3; round++) await restoreSnapshot(repository, { tree, target })
  } finally {
    swapper.kill('SIGKILL')
  }
  outsideIsUntouched()
})

test('a device or socket number that is not one, and an unknown type, fail alone', async () => {
  const made = await handMade()
  const tree = await made.tree([
    nodeOf({ name: 'device', type: 'chardev', device: 2n ** 63n }),
    nodeOf({ name: 'good', type: 'file' }),
    nodeOf({ name: 'odd', type: 'irregular' }),
  ])
  const result = await restoreSnapshot(await made.finish(), { tree, target })
  expect(result.errors.map(({ path }) => path)).toEqual(['/device', '/odd'])
  expect(readdirSync(target)).toEqual(['good'])
})

test('the walk stops at a depth, at a number of nodes, and at a tree that contains itself', async () => {
  const self = sha256Hex(Buffer.from('self'))
  const inner = nodeOf({ name: 'again', type: 'dir', subtree: self })
  const source = { loadTree: async () => [inner] }
  const events = await Array.fromAsync(walkTree(source, self))
  expect(events.at(-1)).toMatchObject({ kind: 'failed', error: { code: 'Damaged' } })

  let n = 0
  const endless = {
    loadTree: async () => [nodeOf({ name: 'x', type: 'dir', subtree: sha256Hex(Buffer.from(String(n++))) })],
  }
  const deep = await Array.fromAsync(walkTree(endless, self, { maxDepth: 50 }))
  const failed = deep.find((event) => event.kind === 'failed')
  expect(failed).toMatchObject({ kind: 'failed', error: { code: 'LimitExceeded' } })

  const bomb = {
    loadTree: async () =>
      ['a', 'b'].map((name) => nodeOf({ name, type: 'dir', subtree: sha256Hex(Buffer.from(String(n++))) })),
  }
  await expect(Array.fromAsync(walkTree(bomb, self, { maxNodes: 5000 }))).rejects.toMatchObject({
    code: 'LimitExceeded',
  })
})

test('sockets stay away and are counted, unless they are asked for', async () => {
  const made = await handMade()
  const tree = await made.tree([nodeOf({ name: 'socket', type: 'socket', mode: 2 ** 24 + 0o640 })])
  const repository = await made.finish()
  expect((await restoreSnapshot(repository, { tree, target })).socketsSkipped).toBe(1)
  expect(readdirSync(target)).toEqual([])
  await restoreSnapshot(repository, { tree, target, sockets: 'create' })
  expect(lstatSync(`${target}/socket`).isSocket()).toBe(true)
  expect(lstatSync(`${target}/socket`).mode & 0o7777).toBe(0o640)
})

test('what claims to be a hard link of a file with other content is restored as itself', async () => {
  const made = await handMade()
  const shared = { type: 'file' as const, inode: 7n, deviceId: 1n, links: 2 }
  const a = await made.data(Buffer.from('aaaa'))
  const b = await made.data(Buffer.from('bbbb'))
  const tree = await made.tree([
    nodeOf({ ...shared, name: 'a', size: 4, content: [a] }),
    nodeOf({ ...shared, name: 'b', size: 4, content: [b] }),
    nodeOf({ ...shared, name: 'c', size: 4, content: [a] }),
  ])
  const result = await restoreSnapshot(await made.finish(), { tree, target })
  expect(result.errors).toEqual([])
  expect(readFileSync(`${target}/b`, 'utf8')).toBe('bbbb')
  expect(lstatSync(`${target}/c`).ino).toBe(lstatSync(`${target}/a`).ino)
})

test('when the first name of a file cannot be restored, its other names do not get what stood there before', async () => {
  const made = await handMade()
  const shared = { type: 'file' as const, inode: 7n, deviceId: 1n, links: 2, size: 4 }
  const absent = sha256Hex(Buffer.from('absent'))
  const tree = await made.tree([
    nodeOf({ ...shared, name: 'a', content: [absent] }),
    nodeOf({ ...shared, name: 'b', content: [absent] }),
  ])
  writeFileSync(`${target}/a`, 'old')
  const result = await restoreSnapshot(await made.finish(), { tree, target })
  expect(result.errors.map(({ path }) => path)).toEqual(['/a', '/b'])
  expect(existsSync(`${target}/b`)).toBe(false)
  expect(readFileSync(`${target}/a`, 'utf8')).toBe('old')
})

test('a store that gives nothing ends the restore; one that misses a pack costs only its files', async () => {
  const store = openMemoryStore()
  const made = await handMade(store, { packBytes: 50_000 })
  const nodes = []
  for (let i = 0; i < 20; i++) {
    const content = [await made.data(randomBytes(100_000))]
    nodes.push(nodeOf({ name: `f${String(i).padStart(2, '0')}`, type: 'file', size: 100_000, content }))
  }
  const tree = await made.tree(nodes)
  const repository = await made.finish()
  let mode: 'NotFound' | 'StoreUnavailable' | undefined
  const load = store.load.bind(store)
  store.load = async (file, range) => {
    const isData = range !== undefined && range.length > 50_000
    if (mode !== undefined && isData) throw new HoldfastError(mode, 'no')
    return await load(file, range)
  }
  mode = 'NotFound'
  const missing = await restoreSnapshot(repository, { tree, target })
  expect(missing.errors.map(({ code }) => code)).toEqual(nodes.map(() => 'NotFound'))
  mode = 'StoreUnavailable'
  await expect(restoreSnapshot(repository, { tree, target })).rejects.toMatchObject({
    code: 'StoreUnavailable',
    retry: 'later',
  })
  mode = undefined
  expect((await restoreSnapshot(repository, { tree, target })).errorCount).toBe(0)
})
