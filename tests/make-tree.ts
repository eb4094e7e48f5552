/**
 * Real directory trees from a seed: every kind of entry, size, name and attribute a backup has to keep.
 * The same seed and options give the same tree, apart from inode numbers and ctimes.
 */

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import type { Libc } from './libc.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'
import { joinBytes, readManifest } from './tree-manifest.ts'

export interface TreeOptions {
  readonly seed: number
  /** How many ordinary files are drawn besides the fixed special ones. Default 40. */
  readonly files?: number
  /** Largest drawn file in bytes. Default 64 KiB. */
  readonly largest?: number
  /** Add the files that make several chunks and the sparse one (about 25 MiB). Default false. */
  readonly large?: boolean
  /** Device nodes, foreign owners, trusted xattrs: needs root. Default: whether we are root. */
  readonly asRoot?: boolean
  /** Leave out what restic 0.14 is known to lose: symlink targets that are not UTF-8. Default false. */
  readonly oldSafe?: boolean
  /** Only a few sizes and levels, for runs that restore thousands of times. Default false. */
  readonly compact?: boolean
  /** A bound socket; restic records but never restores one. Default true. */
  readonly socket?: boolean
}

interface Making {
  readonly root: string
  readonly libc: Libc
  readonly random: SeededRandom
  readonly options: TreeOptions
  readonly asRoot: boolean
}

/** Names that break naive code, as the latin-1 form of their bytes. None holds '/' or NUL. */
export const oddNames: readonly string[] = [
  'new\nline',
  'tab\tand\rreturn',
  'double"quote',
  "single'quote",
  'back\\slash',
  '\\u0041 looks like an escape',
  'percent %41 %s',
  ' leading and trailing ',
  '-rf',
  '*',
  '[a-z]?',
  '~',
  '...',
  'angle<&>amp',
  'bell\x07 escape\x1b delete\x7f',
  '\xff\xfe not utf-8',
  'half \xe2\x82 sequence',
  '\xed\xa0\x80 encoded surrogate',
  '\xc0\x80 overlong',
  utf8('grüße'),
  utf8('e\u0301 combining'),
  utf8('😀 emoji'),
  utf8('line\u2028separator\u2029'),
  utf8('no-break\u00a0space \u200b zero width'),
  utf8('\ufeffbyte order mark'),
  utf8('\ufffd replacement'),
  utf8('日本語'),
  utf8('\u{10ffff} last'),
  'n'.repeat(255),
  utf8('é'.repeat(127)),
]

/** Creates `root` (which must not exist) and fills it. */
export function makeTree(root: string, libc: Libc, options: TreeOptions): void {
  const making: Making = {
    root,
    libc,
    random: seededRandom(options.seed),
    options,
    asRoot: options.asRoot ?? process.getuid?.() === 0,
  }
  mkdirSync(root)
  makeOrdinary(making)
  makeSizes(making)
  makeOddNames(making)
  makeLinks(making)
  makeSpecial(making)
  makeAttributes(making)
  if (options.large) makeLarge(making)
  stampTimes(making)
}

function makeOrdinary(making: Making): void {
  const { random, options, root } = making
  const folders = ['']
  for (let i = 0; i < 6; i++) {
    const folder = `${random.pick(folders)}/folder-${i}`.replace(/^\//, '')
    folders.push(folder)
    mkdirSync(joinBytes(root, folder))
  }
  const made: Buffer[] = []
  for (let i = 0; i < (options.files ?? 40); i++) {
    const repeat = made.length > 0 && random.chance(0.2)
    const content = repeat ? random.pick(made) : drawContent(random, random.below(options.largest ?? 65536))
    made.push(content)
    write(making, `${random.pick(folders)}/file-${i}`.replace(/^\//, ''), content)
  }
  mkdirSync(joinBytes(root, 'empty folder'))
  mkdirSync(
    joinBytes(
      root,
      `deep/${Array.from({ length: options.compact ? 4 : 40 }, (_, i) => `level-${i}`).join('/')}`,
    ),
    {
      recursive: true,
    },
  )
}

function makeSizes(making: Making): void {
  mkdirSync(joinBytes(making.root, 'sizes'))
  const around = making.options.compact ? [] : [63, 64, 65, 4095, 524287, 524288, 524289]
  for (const size of [0, 1, 4096, 4097, ...around]) {
    write(making, `sizes/${size}`, making.random.bytes(size))
  }
}

function makeOddNames(making: Making): void {
  mkdirSync(joinBytes(making.root, 'odd'))
  for (const name of oddNames) write(making, `odd/${name}`, Buffer.from(name, 'latin1'))
  for (const name of [utf8('folder 😀\u2028'), 'folder \xff\xfe']) {
    mkdirSync(joinBytes(making.root, `odd/${name}`))
    write(making, `odd/${name}/inside`, Buffer.from('inside'))
  }
}

function makeLinks(making: Making): void {
  const { root, options } = making
  mkdirSync(joinBytes(root, 'links'))
  const link = (name: string, target: string): void =>
    symlinkSync(Buffer.from(target, 'latin1'), joinBytes(root, `links/${name}`))
  link('to-file', '../sizes/4096')
  link('to-folder', '..')
  link('dangling', 'nowhere/at all')
  link('absolute', '/nonexistent/absolute')
  link('itself', 'itself')
  link('long', 'x/'.repeat(1000))
  link('odd', 'quote" back\\ new\nline')
  link('emoji', utf8('😀/\u2028'))
  if (!options.oldSafe) link('not-utf8', '\xff\xfe/\x80')
  linkSync(joinBytes(root, 'sizes/4097'), joinBytes(root, 'links/hard-1'))
  linkSync(joinBytes(root, 'sizes/4097'), joinBytes(root, 'links/hard-2'))
  linkSync(joinBytes(root, 'sizes/0'), joinBytes(root, 'links/hard-empty'))
}

function makeSpecial(making: Making): void {
  const { root, libc, asRoot, options } = making
  mkdirSync(joinBytes(root, 'special'))
  libc.mkfifo(joinBytes(root, 'special/fifo'), 0o640)
  if (options.socket ?? true) makeSocket(`${root}/special/socket`)
  if (!asRoot) return
  libc.mknod(joinBytes(root, 'special/char'), 0o020600, device(1, 3))
  libc.mknod(joinBytes(root, 'special/block'), 0o060660, device(7, 200))
  libc.mknod(joinBytes(root, 'special/big-numbers'), 0o020600, device(4095, 1048575))
}

/** Binding leaves the socket file behind when the process ends without closing it. */
function makeSocket(path: string): void {
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script, path])
}

function makeAttributes(making: Making): void {
  const { root, libc, random, asRoot } = making
  mkdirSync(joinBytes(root, 'attributes'))
  const file = (name: string): Buffer => {
    write(making, `attributes/${name}`, Buffer.from(name))
    return joinBytes(root, `attributes/${name}`)
  }
  for (const mode of [0o000, 0o400, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777]) {
    chmodSync(file(`mode-${mode.toString(8)}`), mode)
  }
  for (const mode of [0o1777, 0o2775, 0o700]) {
    const folder = joinBytes(root, `attributes/folder-${mode.toString(8)}`)
    mkdirSync(folder)
    chmodSync(folder, mode)
  }
  const folder = joinBytes(root, 'attributes/folder-700')
  const bearer = file('xattrs')
  const supported = tryXattr(libc, bearer, 'user.text', Buffer.from('value'))
  if (supported) {
    libc.setXattr(bearer, 'user.empty', Buffer.alloc(0))
    libc.setXattr(bearer, 'user.binary', random.bytes(200))
    libc.setXattr(bearer, `user.${utf8('ü').length}-long-${'n'.repeat(200)}`, Buffer.from('long name'))
    libc.setXattr(folder, 'user.folder', Buffer.from([0, 255, 10]))
  }
  tryXattr(libc, file('acl'), 'system.posix_acl_access', posixAcl(1234))
  tryXattr(libc, folder, 'system.posix_acl_default', posixAcl(4321))
  if (!asRoot) return
  tryXattr(libc, bearer, 'trusted.root-only', Buffer.from('secret'))
  lchownSync(file('foreign-owner'), 12345, 54321)
  lchownSync(file('known-owner'), 65534, 65534)
  symlinkSync('nothing', joinBytes(root, 'attributes/foreign-link'))
  lchownSync(joinBytes(root, 'attributes/foreign-link'), 12345, 54321)
}

/** Whether the file system took it: not every one has user xattrs and ACLs. */
function tryXattr(libc: Libc, path: Buffer, name: string, value: Buffer): boolean {
  try {
    libc.setXattr(path, name, value)
    return true
  } catch {
    return false
  }
}

/** The kernel's xattr form of an ACL (linux/posix_acl_xattr.h): user::rw, user:<uid>:rwx, group::r, mask, other. */
function posixAcl(uid: number): Buffer {
  const entries: readonly (readonly [tag: number, permissions: number, id: number])[] = [
    [0x01, 6, 0xffffffff],
    [0x02, 7, uid],
    [0x04, 4, 0xffffffff],
    [0x10, 7, 0xffffffff],
    [0x20, 4, 0xffffffff],
  ]
  const acl = Buffer.alloc(4 + entries.length * 8)
  acl.writeUInt32LE(2, 0)
  entries.forEach(([tag, permissions, id], i) => {
    acl.writeUInt16LE(tag, 4 + i * 8)
    acl.writeUInt16LE(permissions, 6 + i * 8)
    acl.writeUInt32LE(id, 8 + i * 8)
  })
  return acl
}

function makeLarge(making: Making): void {
  const { random, root } = making
  mkdirSync(joinBytes(root, 'large'))
  write(making, 'large/random', random.bytes(9 * 1024 * 1024 + 17))
  write(making, 'large/text', drawText(random, 6 * 1024 * 1024))
  write(making, 'large/zeros', Buffer.alloc(9 * 1024 * 1024))
  const sparse = openSync(joinBytes(root, 'large/sparse'), 'w')
  writeSync(sparse, random.bytes(70000), 0, 70000, 5 * 1024 * 1024)
  writeSync(sparse, random.bytes(100), 0, 100, 20 * 1024 * 1024)
  ftruncateSync(sparse, 24 * 1024 * 1024)
  closeSync(sparse)
}

const second = 1_000_000_000n

/** Times to the nanosecond, some before 1970 and some after 2038; folders last, as writing moves them. */
function stampTimes({ root, libc, random }: Making): void {
  const paths = [...readManifest(root, libc).keys()].reverse()
  for (const path of paths) libc.setTimes(joinBytes(root, path), 1_700_000_000n * second, drawTime(random))
}

function drawTime(random: SeededRandom): bigint {
  const seconds = random.pick([
    () => -random.below(2_000_000_000),
    () => 4_000_000_000 + random.below(1_000_000_000),
    () => 1_000_000_000 + random.below(700_000_000),
    () => 1_000_000_000 + random.below(700_000_000),
    () => 0,
  ])()
  const fraction = random.pick([() => 0, () => 120_000_000, () => random.below(1_000_000_000)])()
  return BigInt(seconds) * second + BigInt(fraction)
}

/** One change to a tree made by `makeTree`; returns what was done, for the log of a failing run. */
export function mutateTree(root: string, libc: Libc, random: SeededRandom): string {
  const manifest = readManifest(root, libc)
  const files = [...manifest].filter(([, e]) => e.type === 'file' && e.linkedTo === '').map(([path]) => path)
  const folders = [...manifest].filter(([, e]) => e.type === 'dir').map(([path]) => path)
  const folder = random.pick(folders)
  const fresh = `${folder}/new-${random.word().toString(16)}`.replace(/^\//, '')
  const at = (path: string): Buffer => joinBytes(root, path)
  const file = files.length === 0 ? undefined : random.pick(files)
  const removable = folders.filter((path) => path !== '')
  const changes: (() => string)[] = [
    () => (writeFileSync(at(fresh), drawContent(random, random.below(40_000))), `write ${fresh}`),
    () => (mkdirSync(at(fresh)), `mkdir ${fresh}`),
    () => (symlinkSync(`target-${random.word()}`, at(fresh)), `symlink ${fresh}`),
  ]
  if (file !== undefined) {
    changes.push(
      () => (rmSync(at(file)), `remove ${file}`),
      () => (writeFileSync(at(file), drawContent(random, random.below(40_000))), `rewrite ${file}`),
      () => (overwriteMiddle(at(file), random), `overwrite the middle of ${file}`),
      () => (renameSync(at(file), at(fresh)), `rename ${file} to ${fresh}`),
      () => (linkSync(at(file), at(fresh)), `link ${fresh} to ${file}`),
      () => (chmodSync(at(file), 0o400 + random.below(0o400)), `chmod ${file}`),
      () => (libc.setTimes(at(file), 0n, drawTime(random)), `touch ${file}`),
      () => (becomeFolder(at(file)), `turn ${file} into a folder`),
    )
  }
  if (removable.length > 3) {
    const victim = random.pick(removable)
    changes.push(() => (rmSync(at(victim), { recursive: true }), `remove folder ${victim}`))
  }
  return random.pick(changes)()
}

function overwriteMiddle(path: Buffer, random: SeededRandom): void {
  const size = lstatSync(path).size
  chmodSync(path, 0o644)
  const fd = openSync(path, 'r+')
  writeSync(fd, random.bytes(16), 0, 16, random.below(size + 1))
  closeSync(fd)
}

function becomeFolder(path: Buffer): void {
  rmSync(path)
  mkdirSync(path)
  writeFileSync(Buffer.concat([path, Buffer.from('/inside')]), 'was a file')
}

function drawContent(random: SeededRandom, length: number): Buffer {
  return random.chance(0.5) ? random.bytes(length) : drawText(random, length)
}

/** Text that compresses about as log lines do. */
export function drawText(random: SeededRandom, length: number): Buffer {
  const words = ['GET', 'POST', '/index.html', 'error', 'warning', 'user', 'session', '200', '404', 'timeout']
  const parts: string[] = []
  for (let size = 0; size < length; ) {
    const line = `${random.word()} ${random.pick(words)} ${random.pick(words)} ${random.below(1000)}\n`
    parts.push(line)
    size += line.length
  }
  return Buffer.from(parts.join('')).subarray(0, length)
}

function write(making: Making, path: string, content: Buffer): void {
  writeFileSync(joinBytes(making.root, path), content)
}

function device(major: number, minor: number): bigint {
  const [a, b] = [BigInt(major), BigInt(minor)]
  return ((a & 0xfffn) << 8n) | (b & 0xffn) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n)
}

function utf8(name: string): string {
  return Buffer.from(name).toString('latin1')
}
