import type { StoredSnapshot, TreeNode } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { errorAsJson, formatError } from '../../terminal/print-error.ts'
import { backupEventJson } from './backup-output.ts'
import { streamPath } from './backup-source.ts'
import { patternLines, rawNames, verbatimLines } from './file-lists.ts'
import { findPattern } from './find.ts'
import { sortNodes } from './ls.ts'
import { formatMode } from './mode-text.ts'
import { formatNode, nodeJson } from './node-text.ts'
import { restoreEventJson } from './restore.ts'
import { snapshotJson } from './snapshot-json.ts'
import { describeSnapshot, formatSnapshots } from './snapshot-text.ts'
import { groupsJson, keepLatest } from './snapshots.ts'

let zone: string | undefined
beforeEach(() => {
  zone = process.env.TZ
  process.env.TZ = 'Europe/Berlin'
})
afterEach(() => {
  if (zone === undefined) delete process.env.TZ
  else process.env.TZ = zone
})

const snapshot: StoredSnapshot = {
  id: `302a6ac3${'0'.repeat(56)}`,
  time: '2026-11-21T05:23:48.204304365Z',
  tree: 'f'.repeat(64),
  paths: ['/srv/shop'],
  hostname: 'web',
  username: 'root',
  uid: 0,
  gid: 0,
  excludes: [],
  tags: ['t1', 't2'],
}

const node: TreeNode = {
  name: 'link',
  type: 'symlink',
  mode: 134_218_239,
  mtime: '2026-11-21T05:23:48Z',
  atime: '2026-11-21T05:23:48Z',
  ctime: '2026-11-21T05:23:48Z',
  uid: 0,
  gid: 1000,
  user: 'root',
  group: '',
  inode: 9_987_437n,
  deviceId: 65_024n,
  size: 0,
  links: 1,
  linktarget: 'a\nb',
  xattrs: [],
  device: 0n,
  content: null,
  subtree: null,
}

test('times are shown in the local zone, stored ones stay as they are in JSON', () => {
  expect(describeSnapshot(snapshot)).toBe(
    'snapshot 302a6ac3 of [/srv/shop] at 2026-11-21 06:23:48 by root@web',
  )
  expect(snapshotJson(snapshot)).toMatchObject({ time: snapshot.time, short_id: '302a6ac3' })
})

test("a snapshot in JSON leaves out what is empty, as restic's does", () => {
  const { tags: _tags, ...rest } = snapshot
  const keys = Object.entries(snapshotJson({ ...rest, tags: [] })).filter(([, value]) => value !== undefined)
  expect(keys.map(([key]) => key)).toEqual([
    'time',
    'tree',
    'paths',
    'hostname',
    'username',
    'id',
    'short_id',
  ])
})

test('the table has the columns of restic, and the size only where a snapshot knows it', () => {
  expect(formatSnapshots([snapshot], { compact: false, width: undefined })).toEqual([
    'ID        Time                 Host  Tags   Paths',
    '-----------------------------------------------------',
    '302a6ac3  2026-11-21 06:23:48  web   t1,t2  /srv/shop',
    '-----------------------------------------------------',
    'Timestamps shown in local time',
    '1 snapshots',
  ])
  expect(formatSnapshots([snapshot], { compact: true, width: undefined }).slice(0, 4)).toEqual([
    'ID        Time                 Host  Tags',
    '-----------------------------------------',
    '302a6ac3  2026-11-21 06:23:48  web   t1',
    '                                     t2',
  ])
})

test('snapshots come as a bare array, and as groups only when grouped', () => {
  const groups = [{ key: { host: 'web', paths: [], tags: [] }, snapshots: [snapshot] }]
  expect(groupsJson(groups, { host: false, paths: false, tags: false })).toMatchObject([{ id: snapshot.id }])
  expect(groupsJson(groups, { host: true, paths: false, tags: false })).toMatchObject([
    { group_key: { hostname: 'web', paths: null, tags: null }, snapshots: [{ id: snapshot.id }] },
  ])
})

test('--latest counts for each host and set of paths', () => {
  const other = { ...snapshot, id: 'b', hostname: 'db' }
  const newer = { ...snapshot, id: 'c' }
  expect(keepLatest([snapshot, other, newer], 1)).toEqual([other, newer])
})

test.each([
  [0o644, '-rw-r--r--'],
  [2_147_484_141, 'drwxr-xr-x'],
  [134_218_239, 'Lrwxrwxrwx'],
  [0o755 + 2 ** 23 + 2 ** 22 + 2 ** 20, 'ugtrwxr-xr-x'],
  [0o660 + 2 ** 26 + 2 ** 21, 'Dcrw-rw----'],
])('the mode %d is shown as Go shows it: %s', (mode, text) => {
  expect(formatMode(mode)).toBe(text)
})

test('a long listing cannot be steered by the target of a link', () => {
  expect(formatNode('/srv/link', node, { humanReadable: false })).toBe(
    'Lrwxrwxrwx     0  1000      0 2026-11-21 06:23:48 /srv/link -> "a\\nb"',
  )
})

test('only files have a size in the JSON of ls', () => {
  expect(nodeJson('/x', node)).toMatchObject({
    size: undefined,
    inode: 9_987_437n,
    permissions: 'Lrwxrwxrwx',
  })
  expect(nodeJson('/x', { ...node, type: 'file' })).toMatchObject({ size: 0 })
})

test('nodes are sorted by one key, then by path, and both turn round with --reverse', () => {
  const entry = (path: string, size: number) => ({ path, node: { ...node, size }, parentTree: '' })
  const nodes = [entry('/c', 1), entry('/a', 2), entry('/b', 1)]
  expect(sortNodes(nodes, { sort: 'size', reverse: false }).map(({ path }) => path)).toEqual([
    '/b',
    '/c',
    '/a',
  ])
  expect(sortNodes(nodes, { sort: 'size', reverse: true }).map(({ path }) => path)).toEqual([
    '/a',
    '/c',
    '/b',
  ])
})

test('find looks at names without a slash, at paths with one, and not below what matches', () => {
  const byName = findPattern(['*.yml', 'conf'], false)
  expect(byName.matches('/srv/a.yml')).toBe(true)
  expect(byName.matches('/srv/conf')).toBe(true)
  expect(byName.matches('/srv/conf/other.txt')).toBe(false)
  const byPath = findPattern(['/srv/*.yml'], false)
  expect(byPath.matches('/srv/a.yml')).toBe(true)
  expect(byPath.matches('/etc/srv/a.yml')).toBe(false)
  expect(findPattern(['README'], true).matches('/x/readme')).toBe(true)
})

test('lists of files: patterns are trimmed and commented, verbatim lines are not, raw names end with NUL', () => {
  const text = Buffer.from('  /a  \n# no\n\n/b*\n')
  expect(patternLines(text)).toEqual(['/a', '/b*'])
  expect(verbatimLines(text)).toEqual(['  /a  ', '# no', '/b*'])
  expect(rawNames(Buffer.from('/a\n\0/\xff\0', 'latin1'), 'f')).toEqual(['/a\n', '/\udcff'])
  expect(() => rawNames(Buffer.from('/a\0/b'), 'f')).toThrow(/no NUL at the end/)
  expect(() => rawNames(Buffer.from('/a\0\0'), 'f')).toThrow(/empty name/)
})

test('a stream is stored under an absolute, clean path that cannot leave the root', () => {
  expect(streamPath('shop.sql')).toBe('/shop.sql')
  expect(streamPath('../../etc/x')).toBe('/etc/x')
  expect(() => streamPath('/')).toThrow(/--stdin-filename/)
})

test('an error is what, where and what to do; in JSON it carries its exit code and its word', () => {
  const error = new HoldfastError('WrongPassword', 'no key opens', { place: 'keys', guidance: 'Look again.' })
  expect(formatError(error)).toEqual(['holdfast: no key opens', '  at keys', '  Look again.'])
  expect(JSON.parse(errorAsJson(error))).toEqual({
    message_type: 'exit_error',
    code: 12,
    message: 'no key opens',
    error: 'WrongPassword',
    place: 'keys',
    guidance: 'Look again.',
  })
})

test('a status has no members but those restic documents', () => {
  const status = {
    kind: 'status',
    phase: 'x',
    filesDone: 1,
    filesTotal: 2,
    bytesDone: 10,
    bytesTotal: 40,
    errors: 1,
    currentFiles: ['/a'],
  } as const
  const measure = { status, elapsedMs: 5000, bytesPerSecond: 10 }
  expect(backupEventJson(0, () => 5000)(status, measure)).toEqual({
    message_type: 'status',
    seconds_elapsed: 5,
    seconds_remaining: 3,
    percent_done: 0.25,
    total_files: 2,
    files_done: 1,
    total_bytes: 40,
    bytes_done: 10,
    error_count: 1,
    current_files: ['/a'],
  })
  expect(JSON.parse(JSON.stringify(restoreEventJson(status, measure)))).toEqual({
    message_type: 'status',
    seconds_elapsed: 5,
    percent_done: 0.25,
    total_files: 2,
    files_restored: 1,
    total_bytes: 40,
    bytes_restored: 10,
  })
})
