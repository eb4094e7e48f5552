import { lstatSync, utimesSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { TreeNode } from '../format/tree.ts'
import { openAccounts } from '../posix/accounts.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import { isUnchanged } from './is-unchanged.ts'
import { createNodeMaker } from './stat-node.ts'

const path = `${scratchDirectory('unchanged')}/file`
writeFileSync(path, 'content')
utimesSync(path, 1_700_000_000, 1_700_000_000)
const stat = lstatSync(path, { bigint: true })
const maker = createNodeMaker(
  { withAtime: false, omitDeviceIds: false },
  { posix: undefined, accounts: openAccounts() },
  () => undefined,
)
const node = maker.fromStat('file', path, stat)
const strict = { ignoreCtime: false, ignoreInode: false }

describe('a file', () => {
  it.each<readonly [string, Partial<TreeNode>, Partial<typeof strict>, boolean]>([
    ['nothing', {}, {}, true],
    ['its size', { size: 8 }, {}, false],
    ['its modification time by a nanosecond', { mtime: '2023-11-14T22:13:20.000000001Z' }, {}, false],
    ['the zone in which its time is written', { mtime: '2023-11-15T00:13:20+02:00' }, {}, true],
    ['its change time', { ctime: '2023-11-14T22:13:20Z' }, {}, false],
    ['its change time, ignored', { ctime: '2023-11-14T22:13:20Z' }, { ignoreCtime: true }, true],
    ['its inode', { inode: 1n }, {}, false],
    ['its inode, ignored', { inode: 1n }, { ignoreInode: true }, true],
    [
      'its inode, ignored, and its size',
      { inode: 1n, size: 8 },
      { ignoreInode: true, ignoreCtime: true },
      false,
    ],
    ['its mode alone, which the change time tells', { mode: 0 }, {}, true],
    ['its type', { type: 'symlink' }, {}, false],
  ])('that differs in %s need not be read again: %#', (_, difference, rules, unchanged) => {
    expect(isUnchanged({ ...node, ...difference }, stat, { ...strict, ...rules })).toBe(unchanged)
  })
})
