import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openPosix } from './posix.ts'
import { scratchDirectory } from './scratch-directory.testing.ts'

const posix = openPosix()
const directory = scratchDirectory('posix')
const asRoot = process.getuid?.() === 0
let serial = 0

function bytes(text: string): Buffer {
  return Buffer.from(text)
}

/** A fresh directory and a descriptor of it. */
function place(): { readonly at: string; readonly fd: number; readonly path: (name: string) => string } {
  const at = join(directory, `p${serial++}`)
  fs.mkdirSync(at)
  return { at, fd: fs.openSync(at, fs.constants.O_DIRECTORY), path: (name) => join(at, name) }
}

function file(content = 'content'): string {
  const path = join(directory, `f${serial++}`)
  fs.writeFileSync(path, content)
  return path
}

function failure(run: () => unknown): NodeJS.ErrnoException {
  try {
    run()
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
  throw new Error('expected a failure, found none')
}

function isXattrSupported(): boolean {
  const path = bytes(file())
  try {
    posix.setXattr(path, 'user.probe', bytes('1'))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTSUP') return false
    throw error
  }
}
const xattrs = isXattrSupported()

test.each([0n, 1n, 999_999_999n, 1_700_000_000_123_456_789n, -1n, -1_500_000_001n, -1_000_000_000n])(
  'a modification time of %d ns is set and read back exactly',
  (ns) => {
    const path = file()
    posix.utimens(bytes(path), ns + 1n, ns)
    expect(fs.lstatSync(path, { bigint: true }).mtimeNs).toBe(ns)
    expect(posix.lstat(bytes(path))).toMatchObject({ atimeNs: ns + 1n, mtimeNs: ns })
  },
)

test('a time left undefined stays as it is', () => {
  const path = file()
  posix.utimens(bytes(path), 5n, 7n)
  posix.utimens(bytes(path), undefined, 11n)
  expect(posix.lstat(bytes(path))).toMatchObject({ atimeNs: 5n, mtimeNs: 11n })
})

test('times of a symbolic link are its own, by path and by entry', () => {
  const target = file()
  const before = fs.lstatSync(target, { bigint: true }).mtimeNs
  const { fd, path } = place()
  fs.symlinkSync(target, path('link'))
  posix.utimens(bytes(path('link')), 1n, 2n)
  expect(fs.lstatSync(path('link'), { bigint: true }).mtimeNs).toBe(2n)
  posix.utimensat(fd, bytes('link'), 3n, 4n)
  expect(fs.lstatSync(path('link'), { bigint: true }).mtimeNs).toBe(4n)
  expect(fs.lstatSync(target, { bigint: true }).mtimeNs).toBe(before)
})

test('times of an open file are set through its descriptor', () => {
  const fd = fs.openSync(file(), 'r+')
  posix.futimens(fd, 12n, -34n)
  expect(posix.fstat(fd)).toMatchObject({ atimeNs: 12n, mtimeNs: -34n })
  fs.closeSync(fd)
})

test('status equals what node:fs reports, for files, directories, links, and by every way of asking', () => {
  const { at, fd, path } = place()
  fs.writeFileSync(path('file'), 'x'.repeat(5000))
  fs.linkSync(path('file'), path('second'))
  fs.symlinkSync('nowhere', path('link'))
  fs.mkdirSync(path('sub'))
  for (const name of ['file', 'second', 'link', 'sub']) {
    const node = fs.lstatSync(path(name), { bigint: true })
    const expected = {
      mode: Number(node.mode),
      size: Number(node.size),
      blocks: Number(node.blocks),
      ino: node.ino,
      dev: node.dev,
      rdev: node.rdev,
      nlink: Number(node.nlink),
      uid: Number(node.uid),
      gid: Number(node.gid),
      atimeNs: node.atimeNs,
      mtimeNs: node.mtimeNs,
      ctimeNs: node.ctimeNs,
    }
    expect(posix.lstat(bytes(path(name)))).toEqual(expected)
    expect(posix.fstatat(fd, bytes(name))).toEqual(expected)
  }
  expect(posix.fstat(fd).ino).toBe(fs.statSync(at, { bigint: true }).ino)
  expect(posix.lstat(bytes('/dev/null')).rdev).toBe(fs.statSync('/dev/null', { bigint: true }).rdev)
})

test('failures have the shape of node:fs errors', () => {
  const missing = join(directory, 'missing')
  const own = failure(() => posix.lstat(bytes(missing)))
  const nodes = failure(() => fs.lstatSync(missing))
  expect({ ...own }).toEqual({ ...nodes })
  expect(own.message).toBe(nodes.message)
})

test('a path with a NUL byte or beyond PATH_MAX is refused before the kernel sees it', () => {
  expect(failure(() => posix.lstat(bytes('/etc/passwd\0.txt'))).code).toBe('EINVAL')
  expect(failure(() => posix.lstat(Buffer.alloc(5000, 0x61))).code).toBe('ENAMETOOLONG')
})

test('names that are not UTF-8 work', () => {
  const { fd, at } = place()
  const name = Buffer.from([0x61, 0xff, 0xfe, 0x62])
  fs.closeSync(posix.openat(fd, name, fs.constants.O_CREAT | fs.constants.O_WRONLY, 0o600))
  expect(fs.readdirSync(at, { encoding: 'buffer' })).toEqual([name])
  expect(posix.fstatat(fd, name).mode & 0o777).toBe(0o600)
})

test.runIf(xattrs)(
  'attributes with binary and empty values survive a round trip, by path and descriptor',
  () => {
    const path = file()
    const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    posix.setXattr(bytes(path), 'user.binary', value)
    posix.setXattr(bytes(path), 'user.empty', Buffer.alloc(0))
    const fd = fs.openSync(path, 'r+')
    posix.fsetXattr(fd, 'user.fd', bytes('three'))
    expect([...posix.listXattrs(bytes(path))].sort()).toEqual(['user.binary', 'user.empty', 'user.fd'])
    expect([...posix.flistXattrs(fd)].sort()).toEqual(['user.binary', 'user.empty', 'user.fd'])
    expect(posix.getXattr(bytes(path), 'user.binary')).toEqual(value)
    expect(posix.fgetXattr(fd, 'user.empty')).toEqual(Buffer.alloc(0))
    posix.removeXattr(bytes(path), 'user.binary')
    posix.fremoveXattr(fd, 'user.empty')
    expect(posix.listXattrs(bytes(path))).toEqual(['user.fd'])
    fs.closeSync(fd)
  },
)

test.runIf(xattrs)('attribute names that are not ASCII come back as they went in', () => {
  const path = bytes(file())
  const name = 'user.gr\u00fc\u00dfe-\udcff'
  posix.setXattr(path, name, bytes('v'))
  expect(posix.listXattrs(path)).toEqual([name])
  expect(posix.getXattr(path, name).toString()).toBe('v')
})

test.runIf(xattrs)('a value handed out is not overwritten by the next call', () => {
  const path = bytes(file())
  posix.setXattr(path, 'user.a', bytes('first'))
  posix.setXattr(path, 'user.b', bytes('other'))
  const first = posix.getXattr(path, 'user.a')
  posix.getXattr(path, 'user.b')
  expect(first.toString()).toBe('first')
})

test.runIf(xattrs)('an absent attribute is ENODATA', () => {
  const path = file()
  expect(failure(() => posix.getXattr(bytes(path), 'user.none'))).toMatchObject({ code: 'ENODATA', path })
})

test.runIf(xattrs)('an ACL is an attribute that getfacl-compatible bytes go into and come out of', () => {
  const path = bytes(file())
  // Version 2; then (tag, permissions, id): owner rw, user 1234 r, group r, mask r, other none.
  const entries = [
    [1, 6, 0xffffffff],
    [2, 4, 1234],
    [4, 4, 0xffffffff],
    [16, 4, 0xffffffff],
    [32, 0, 0xffffffff],
  ] as const
  const acl = Buffer.alloc(4 + entries.length * 8)
  acl.writeUInt32LE(2, 0)
  for (const [i, [tag, permissions, id]] of entries.entries()) {
    acl.writeUInt16LE(tag, 4 + i * 8)
    acl.writeUInt16LE(permissions, 6 + i * 8)
    acl.writeUInt32LE(id, 8 + i * 8)
  }
  posix.setXattr(path, 'system.posix_acl_access', acl)
  expect(posix.listXattrs(path)).toContain('system.posix_acl_access')
  expect(posix.getXattr(path, 'system.posix_acl_access')).toEqual(acl)
})

test.runIf(xattrs && asRoot)('a symbolic link carries its own attributes, and its target gets none', () => {
  const { fd, path } = place()
  fs.writeFileSync(path('target'), '')
  fs.symlinkSync('target', path('link'))
  posix.setXattr(bytes(path('link')), 'trusted.by-path', bytes('1'))
  posix.setXattrAt(fd, bytes('link'), { name: 'trusted.by-entry', value: bytes('2') })
  expect([...posix.listXattrsAt(fd, bytes('link'))].sort()).toEqual(['trusted.by-entry', 'trusted.by-path'])
  expect(posix.getXattrAt(fd, bytes('link'), 'trusted.by-path').toString()).toBe('1')
  posix.removeXattrAt(fd, bytes('link'), 'trusted.by-path')
  expect(posix.listXattrs(bytes(path('link')))).toEqual(['trusted.by-entry'])
  expect(posix.listXattrs(bytes(path('target')))).toEqual([])
})

test('a file system without attributes lists none, and says ENOTSUP when one is set', () => {
  expect(posix.listXattrs(bytes('/proc/self/status'))).toEqual([])
  expect(failure(() => posix.setXattr(bytes('/proc/self/status'), 'user.x', bytes('1'))).code).toMatch(
    /^(ENOTSUP|EPERM|EACCES)$/,
  )
})

test('openat, openDirectoryAt and openBeneath refuse to go through a symbolic link', () => {
  const { fd, path } = place()
  const outside = place()
  fs.writeFileSync(outside.path('secret'), 'secret')
  fs.symlinkSync(outside.at, path('to-directory'))
  fs.symlinkSync(outside.path('secret'), path('to-file'))
  expect(failure(() => posix.openat(fd, bytes('to-file'), fs.constants.O_RDONLY)).code).toBe('ELOOP')
  expect(failure(() => posix.openDirectoryAt(fd, bytes('to-directory'))).code).toBe('ENOTDIR')
  const write = fs.constants.O_CREAT | fs.constants.O_WRONLY | fs.constants.O_TRUNC
  expect(failure(() => posix.openat(fd, bytes('to-file'), write, 0o600)).code).toBe('ELOOP')
  const beneath = failure(() => posix.openBeneath(fd, bytes('to-directory/secret'), fs.constants.O_RDONLY))
  expect(['ELOOP', 'ENOTDIR']).toContain(beneath.code)
  expect(fs.readFileSync(outside.path('secret'), 'utf8')).toBe('secret')
})

test.each(['../x', 'a/b', '..', '.', '', '/etc'])('%j is no entry of a directory for any call', (name) => {
  const { fd } = place()
  const entry = bytes(name)
  const other = { dirFd: fd, name: bytes('other') }
  const calls = [
    () => posix.openat(fd, entry, fs.constants.O_RDONLY),
    () => posix.openDirectoryAt(fd, entry),
    () => posix.mkdirat(fd, entry, 0o700),
    () => posix.symlinkat(bytes('t'), fd, entry),
    () => posix.linkat({ dirFd: fd, name: entry }, other),
    () => posix.linkat(other, { dirFd: fd, name: entry }),
    () => posix.unlinkat(fd, entry),
    () => posix.rmdirat(fd, entry),
    () => posix.renameat({ dirFd: fd, name: entry }, other),
    () => posix.renameat(other, { dirFd: fd, name: entry }),
    () => posix.fchownat(fd, entry, 0, 0),
    () => posix.fchmodat(fd, entry, 0o600),
    () => posix.utimensat(fd, entry, 0n, 0n),
    () => posix.readlinkat(fd, entry),
    () => posix.fstatat(fd, entry),
    () => posix.mknodat(fd, entry, fs.constants.S_IFIFO | 0o600, 0n),
    () => posix.mkfifoat(fd, entry, 0o600),
    () => posix.listXattrsAt(fd, entry),
    () => posix.setXattrAt(fd, entry, { name: 'user.a', value: bytes('') }),
  ]
  for (const call of calls) expect(failure(call).code).toBe('EINVAL')
})

test('openBeneath opens and creates below, and refuses absolute, empty and climbing paths', () => {
  const { fd, path } = place()
  fs.mkdirSync(path('a/b'), { recursive: true })
  const write = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY
  const created = posix.openBeneath(fd, bytes('a/b/file'), write, 0o640)
  fs.writeSync(created, 'hello')
  fs.closeSync(created)
  expect(fs.readFileSync(path('a/b/file'), 'utf8')).toBe('hello')
  fs.closeSync(posix.openBeneath(fd, bytes('a/b'), fs.constants.O_DIRECTORY))
  for (const bad of ['', '/a', 'a/../a', '../a', 'a//b', 'a/', './a']) {
    expect(failure(() => posix.openBeneath(fd, bytes(bad), fs.constants.O_RDONLY)).code).toBe('EINVAL')
  }
  expect(failure(() => posix.openBeneath(fd, bytes('a/none'), fs.constants.O_RDONLY)).code).toBe('ENOENT')
})

test('descriptors serve node:fs and are not inherited by child processes', () => {
  const { fd, path } = place()
  fs.writeFileSync(path('file'), 'hello')
  const opened = posix.openat(fd, bytes('file'), fs.constants.O_RDONLY)
  const read = Buffer.alloc(5)
  expect(fs.readSync(opened, read, 0, 5, 0)).toBe(5)
  expect(read.toString()).toBe('hello')
  const flags = fs.readFileSync(`/proc/self/fdinfo/${opened}`, 'utf8').match(/^flags:\s*0(\d+)/m)?.[1]
  expect(Number.parseInt(flags ?? '0', 8) & 0o2000000).toBe(0o2000000)
  fs.closeSync(opened)
})

test('directories, links and files are made, renamed, linked and removed by entry', () => {
  const { at, fd, path } = place()
  posix.mkdirat(fd, bytes('sub'), 0o700)
  const sub = posix.openDirectoryAt(fd, bytes('sub'))
  posix.symlinkat(bytes('../anything at all'), sub, bytes('link'))
  expect(posix.readlinkat(sub, bytes('link')).toString()).toBe('../anything at all')
  posix.linkat({ dirFd: sub, name: bytes('link') }, { dirFd: fd, name: bytes('same') })
  expect(fs.readlinkSync(path('same'))).toBe('../anything at all')
  expect(posix.fstatat(fd, bytes('same')).nlink).toBe(2)
  posix.renameat({ dirFd: sub, name: bytes('link') }, { dirFd: fd, name: bytes('moved') })
  expect(fs.readdirSync(at).sort()).toEqual(['moved', 'same', 'sub'])
  expect(failure(() => posix.rmdirat(fd, bytes('same'))).code).toBe('ENOTDIR')
  posix.unlinkat(fd, bytes('same'))
  posix.rmdirat(fd, bytes('sub'))
  expect(fs.readdirSync(at)).toEqual(['moved'])
})

test('fchmodat sets all twelve bits of a file and never those of a link target', () => {
  const { fd, path } = place()
  fs.writeFileSync(path('file'), '')
  fs.symlinkSync('file', path('link'))
  posix.fchmodat(fd, bytes('file'), 0o4751)
  expect(fs.lstatSync(path('file')).mode & 0o7777).toBe(0o4751)
  expect(failure(() => posix.fchmodat(fd, bytes('link'), 0o777)).code).toBe('ENOTSUP')
  expect(fs.lstatSync(path('file')).mode & 0o7777).toBe(0o4751)
  expect(failure(() => posix.fchmodat(fd, bytes('none'), 0o777)).code).toBe('ENOENT')
})

test.runIf(asRoot)('fchownat changes the link, not its target', () => {
  const { fd, path } = place()
  fs.writeFileSync(path('file'), '')
  fs.symlinkSync('file', path('link'))
  posix.fchownat(fd, bytes('link'), 1234, 4_000_000_000)
  expect(posix.fstatat(fd, bytes('link'))).toMatchObject({ uid: 1234, gid: 4_000_000_000 })
  expect(posix.fstatat(fd, bytes('file'))).toMatchObject({ uid: 0, gid: 0 })
})

test.runIf(asRoot)('device nodes carry their type and number, large minors included', () => {
  const { fd, path } = place()
  const { S_IFBLK, S_IFCHR, S_IFMT } = fs.constants
  // Major 259, minor 70000 in the kernel's encoding.
  const large = BigInt((70000 & 0xff) | (259 << 8)) | (BigInt(70000 & ~0xff) << 12n)
  posix.mknodat(fd, bytes('block'), S_IFBLK | 0o600, large)
  posix.mknod(bytes(path('char')), S_IFCHR | 0o600, 0x103n)
  expect(posix.fstatat(fd, bytes('block')).mode & S_IFMT).toBe(S_IFBLK)
  expect(posix.fstatat(fd, bytes('block')).rdev).toBe(large)
  expect(execFileSync('stat', ['-c', '%t:%T', path('block')], { encoding: 'utf8' }).trim()).toBe('103:11170')
  expect(fs.lstatSync(path('char'), { bigint: true })).toMatchObject({ rdev: 0x103n })
  expect(failure(() => posix.mknodat(fd, bytes('no'), S_IFBLK, 1n << 40n)).code).toBe('EINVAL')
})

test('fifos and sockets are made without privileges', () => {
  const { fd, path } = place()
  posix.mkfifoat(fd, bytes('fifo'), 0o600)
  posix.mkfifo(bytes(path('fifo2')), 0o600)
  posix.mknodat(fd, bytes('socket'), fs.constants.S_IFSOCK | 0o600, 0n)
  expect(fs.lstatSync(path('fifo')).isFIFO()).toBe(true)
  expect(fs.lstatSync(path('fifo2')).isFIFO()).toBe(true)
  expect(fs.lstatSync(path('socket')).isSocket()).toBe(true)
})

test('data and holes of a sparse file are found, and a punched range becomes a hole that reads as zeros', () => {
  const path = file('')
  const fd = fs.openSync(path, 'r+')
  const MiB = 1 << 20
  fs.ftruncateSync(fd, 8 * MiB)
  expect(posix.seekData(fd, 0)).toBeNull()
  expect(posix.seekHole(fd, 0)).toBe(0)
  fs.writeSync(fd, Buffer.alloc(MiB, 1), 0, MiB, 2 * MiB)
  expect(posix.seekData(fd, 0)).toBe(2 * MiB)
  expect(posix.seekHole(fd, 2 * MiB)).toBe(3 * MiB)
  expect(posix.seekData(fd, 3 * MiB)).toBeNull()
  const before = posix.fstat(fd).blocks
  posix.punchHole(fd, 2 * MiB, MiB / 2)
  expect(posix.fstat(fd)).toMatchObject({ size: 8 * MiB })
  expect(posix.fstat(fd).blocks).toBeLessThan(before)
  const read = Buffer.alloc(4096, 9)
  fs.readSync(fd, read, 0, 4096, 2 * MiB)
  expect(read.equals(Buffer.alloc(4096))).toBe(true)
  posix.fallocate(fd, 0, 9 * MiB)
  expect(posix.fstat(fd).size).toBe(9 * MiB)
  expect(failure(() => posix.seekHole(fd, 99 * MiB)).code).toBe('ENXIO')
  fs.closeSync(fd)
})

test('offsets beyond 4 GiB are exact', () => {
  const fd = fs.openSync(file(''), 'r+')
  const far = 5 * 2 ** 30
  fs.writeSync(fd, 'x', far)
  expect(posix.fstat(fd).size).toBe(far + 1)
  expect(posix.seekData(fd, 0)).toBe(far)
  expect(posix.seekHole(fd, far)).toBe(far + 1)
  fs.closeSync(fd)
})

test('advice is taken, and the size of something that is no block device is ENOTTY', () => {
  const fd = fs.openSync(file(), 'r')
  posix.fadvise(fd, 'sequential')
  posix.fadvise(fd, 'dont-need', 0, 4096)
  expect(failure(() => posix.blockDeviceSize(fd)).code).toBe('ENOTTY')
  fs.closeSync(fd)
})

const sectorsOf = (name: string): number => Number(fs.readFileSync(`/sys/class/block/${name}/size`, 'utf8'))
// Containers list devices that even root may not open. One with a size says more than one without.
function readableDevice(): string | undefined {
  const names = fs.readdirSync('/sys/class/block').sort((a, b) => sectorsOf(b) - sectorsOf(a))
  return names.find((name) => {
    try {
      fs.closeSync(fs.openSync(`/dev/${name}`, 'r'))
      return true
    } catch {
      return false
    }
  })
}
const device = asRoot ? readableDevice() : undefined

test.runIf(device !== undefined)('the size of a block device is what the kernel lists', () => {
  const fd = fs.openSync(`/dev/${device}`, 'r')
  expect(posix.blockDeviceSize(fd)).toBe(sectorsOf(device ?? '') * 512)
  fs.closeSync(fd)
})

test('a bad descriptor is EBADF everywhere', () => {
  const calls = [
    () => posix.fstat(99_999),
    () => posix.flistXattrs(99_999),
    () => posix.seekHole(99_999, 0),
    () => posix.fstatat(99_999, bytes('x')),
    () => posix.openBeneath(99_999, bytes('x'), 0),
    () => posix.futimens(99_999, 0n, 0n),
    () => posix.mknodat(99_999, bytes('x'), fs.constants.S_IFIFO, 0n),
    () => posix.fchmodat(99_999, bytes('x'), 0),
  ]
  for (const call of calls) expect(failure(call).code).toBe('EBADF')
})
