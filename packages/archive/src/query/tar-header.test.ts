import { expect, test } from 'vitest'
import type { TreeNode } from '../format/tree.ts'
import { aclText } from './acl-text.ts'
import { tarHeader } from './tar-header.ts'

const node: TreeNode = {
  name: 'f',
  type: 'file',
  mode: 0o640,
  mtime: '2020-01-01T00:00:00Z',
  atime: '2020-01-01T00:00:00Z',
  ctime: '2020-01-01T00:00:00Z',
  uid: 1000,
  gid: 1000,
  user: 'me',
  group: 'us',
  inode: 1n,
  deviceId: 0n,
  size: 0,
  links: 1,
  linktarget: '',
  xattrs: [],
  device: 0n,
  content: [],
  subtree: null,
}
const header = (given: Partial<TreeNode>, path = 'f', size = 0): string =>
  tarHeader({ path, node: { ...node, ...given }, size, hardLinkTo: undefined }).toString('latin1')

test('a plain entry is one ustar block with a right checksum', () => {
  const block = tarHeader({ path: 'a/b', node, size: 5, hardLinkTo: undefined })
  expect(block).toHaveLength(512)
  expect(block.toString('latin1', 257, 263)).toBe('ustar\0')
  expect(block.toString('latin1', 124, 135)).toBe('00000000005')
  const sum = Number.parseInt(block.toString('latin1', 148, 154), 8)
  const blanked = Buffer.from(block).fill(0x20, 148, 156)
  expect(blanked.reduce((total, byte) => total + byte, 0)).toBe(sum)
})

test('what ustar cannot hold goes into a pax header whose records count themselves', () => {
  expect(header({ mtime: '2020-01-01T00:00:00.5Z' })).toContain('22 mtime=1577836800.5\n')
  expect(header({ mtime: '1969-12-31T23:59:58.75Z' })).toContain(' mtime=-1.25\n')
  expect(header({}, 'f', 8 * 2 ** 30)).toContain('19 size=8589934592\n')
  expect(header({ uid: 3_000_000 })).toContain(' uid=3000000\n')
  expect(header({}, 'n'.repeat(101))).toContain(`111 path=${'n'.repeat(101)}\n`)
  expect(header({}, 'n'.repeat(89) + 'é')).toContain('path=')
  expect(header({}, '\udcff')).toContain('hdrcharset=BINARY')
  expect(header({ xattrs: [{ name: 'user.a', value: Buffer.from('b\0c') }] })).toContain(
    'SCHILY.xattr.user.a=b\0c\n',
  )
})

test('an ACL is written as text, anything else and a broken one is not', () => {
  const acl = Buffer.from(
    '0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff',
    'hex',
  )
  expect(aclText('system.posix_acl_access', acl)).toBe(
    'user::rw-\nuser:1000:r--\ngroup::r--\nmask::r--\nother::---\n',
  )
  expect(aclText('user.comment', acl)).toBeUndefined()
  expect(aclText('system.posix_acl_access', acl.subarray(0, 11))).toBeUndefined()
})
