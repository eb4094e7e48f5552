import { spawnSync } from 'node:child_process'
import { lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { nameFromBytes, nameToBytes } from '../../packages/archive/src/format/byte-name.ts'
import { decodeConfig, encodeConfig } from '../../packages/archive/src/format/config.ts'
import { goModeFromStat } from '../../packages/archive/src/format/file-mode.ts'
import { sha256Hex } from '../../packages/archive/src/format/ids.ts'
import { decodeIndexFile, encodeIndexFile } from '../../packages/archive/src/format/index-file.ts'
import { decodeSnapshot, encodeSnapshot } from '../../packages/archive/src/format/snapshot.ts'
import { decodeTree, encodeNode, encodeTree, type TreeNode } from '../../packages/archive/src/format/tree.ts'
import { testPassword } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { type Libc, openLibc } from '../libc.ts'
import { findPeer, type PeerName } from '../peers.ts'

/** Names as bytes: escapes of Go and JSON, what is not UTF-8, what is not printable, order past U+FFFF. */
const asciiNames = [
  'plain',
  ' sp ace ',
  '-dash',
  '%41',
  '\\x41',
  'new\nline',
  'quo"te',
  "apos'",
  'back\\slash',
  '<a&b>',
]
const controlNames = ['bell\u0007\b\f\v\t\r\u0001\u001f\u007f', '\u0085', '\u00ad', '\u0600', '\u{e0001}']
const wideNames = [
  'é',
  'e\u0301',
  '\u00a0',
  '\u0378',
  '\u200b\u200d',
  'ls\u2028ps\u2029',
  '\u3000',
  '\ue000',
  '\ufeff',
]
const highNames = ['\ufffd', '\uffff', '😀', '\u{20000}', '\u{10ffff}']
const rawNames = ['fffe', '6dc3a980', 'e282', 'eda080', 'f4908080', 'c0af'].map((hex) =>
  Buffer.from(hex, 'hex'),
)
const oddNames: readonly Buffer[] = [...asciiNames, ...controlNames, ...wideNames, ...highNames]
  .map((name) => Buffer.from(name, 'utf8'))
  .concat(rawNames)

/** Assigned or not, depending on the Unicode version: restic 0.14 carries 13, newer ones 15. */
const newNames: readonly Buffer[] = ['\u{1fae8}', '\u{1fae9}'].map((name) => Buffer.from(name, 'utf8'))

describe.each<PeerName>(['restic-old', 'restic-new'])('what %s writes', (name) => {
  const peer = findPeer(name)
  describe.skipIf(peer === undefined)('', () => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-bytes-'))
    afterAll(() => rmSync(directory, { recursive: true, force: true }))
    const zone = 'America/St_Johns'
    const restic = (...args: readonly string[]): Buffer => {
      const all = ['-r', `${directory}/repo`, '--no-cache', '-q', ...args]
      const env = { ...process.env, RESTIC_PASSWORD: testPassword, TZ: zone }
      const run = spawnSync(peer?.command ?? '', all, { cwd: directory, env, maxBuffer: 1 << 28 })
      if (run.status !== 0) throw new Error(run.stderr.toString())
      return run.stdout
    }
    const list = (kind: string): readonly string[] =>
      restic('list', kind).toString().split('\n').filter(Boolean)

    it('is the same bytes after decoding and encoding', () => {
      makeOddTree(`${directory}/tree`, openLibc(), name === 'restic-new')
      makeCheapRepository(`${directory}/repo`)
      restic('backup', '--tag', 'a<b,c', '--exclude', '*.tmp&"', '--host', 'hôst', 'tree')
      const trees = list('blobs').filter((line) => line.startsWith('tree '))
      expect(trees.length).toBeGreaterThan(2)
      for (const line of trees) {
        const id = line.slice('tree '.length)
        const stored = restic('cat', 'blob', id)
        const again = encodeTree(decodeTree(stored, id).map(encodeNode))
        expect(again.toString()).toBe(stored.toString())
        expect(sha256Hex(again)).toBe(id)
      }
      for (const id of list('snapshots'))
        expectSameJson(restic('cat', 'snapshot', id), (b) => encodeSnapshot(decodeSnapshot(b, id)))
      for (const id of list('index'))
        expectSameJson(restic('cat', 'index', id), (b) => encodeIndexFile(decodeIndexFile(b, id)))
      expectSameJson(restic('cat', 'config'), (b) => encodeConfig(decodeConfig(b, 'config')))
    })

    it('is what Holdfast would write for the same files', () => {
      const nodes = list('blobs')
        .filter((line) => line.startsWith('tree '))
        .map((line) => decodeTree(restic('cat', 'blob', line.slice('tree '.length)), line))
        .find((found) => found.length > 10)
      const rebuilt = inZone(
        zone,
        (nodes ?? []).map((node) => rebuild(`${directory}/tree`, node)),
      )
      expect(rebuilt).toEqual((nodes ?? []).map(encodeNode))
      expect(rebuilt.length).toBeGreaterThan(oddNames.length)
    })
  })
})

function makeOddTree(root: string, libc: Libc, newest: boolean): void {
  mkdirSync(`${root}/dir/sub`, { recursive: true, mode: 0o755 })
  mkdirSync(`${root}/empty`)
  writeFileSync(`${root}/dir/sub/file`, 'deep')
  const at = (name: Buffer | string): Buffer => Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)])
  for (const [i, name] of [...oddNames, ...(newest ? newNames : [])].entries()) {
    writeFileSync(at(name), `content ${i}`)
    libc.setTimes(
      at(name),
      BigInt(i),
      1_500_000_000_123_456_789n * BigInt(i % 3 === 0 ? -1 : 1) + BigInt(i) * 1_000_000_000n,
    )
  }
  for (const [name, mode] of [
    ['setuid', 0o4755],
    ['setgid', 0o2755],
    ['all', 0o7777],
    ['none', 0],
  ] as const) {
    writeFileSync(at(name), '', { mode: 0o600 })
    spawnSync('chmod', [mode.toString(8), at(name).toString()])
  }
  writeFileSync(at('attributes'), 'x')
  libc.setXattr(at('attributes'), 'user.a', Buffer.from('value\0\xff', 'latin1'))
  libc.setXattr(at('attributes'), 'user.é<>', Buffer.alloc(0))
  symlinkSync('plain', at('link'))
  symlinkSync('é/\u2028<>&"\\\u0001\u007f', at('link-odd'))
  // restic 0.14 keeps no raw targets, and its Go escapes \b and \f the long way.
  if (newest) symlinkSync(Buffer.from('\xff\xfe/<x>\b\f', 'latin1'), at('link-raw'))
  libc.mkfifo(at('fifo'), 0o644)
  if (process.getuid?.() !== 0) return
  libc.mknod(at('chr'), 0o020600, 0x103n)
  libc.mknod(at('blk'), 0o060660, 0x7012cn)
}

/** `cat` indents some kinds: only the JSON is compared, with members in the order they have. */
function expectSameJson(shown: Buffer, again: (bytes: Buffer) => Buffer): void {
  const compact = Buffer.from(JSON.stringify(JSON.parse(shown.toString())))
  expect(JSON.stringify(JSON.parse(again(compact).toString()))).toBe(compact.toString())
}

/** What only the file system says, of the file behind a node; the rest is the node's own. */
function rebuild(root: string, node: TreeNode): object {
  const path = Buffer.concat([Buffer.from(`${root}/`), nameToBytes(node.name)])
  const stat = lstatSync(path, { bigint: true })
  const { type, mode } = goModeFromStat(Number(stat.mode))
  return {
    ...node,
    name: nameFromBytes(path.subarray(root.length + 1)),
    type,
    mode,
    mtime: stat.mtimeNs.toString(),
    atime: stat.mtimeNs.toString(),
    ctime: stat.ctimeNs.toString(),
    inode: stat.ino.toString(),
    deviceId: node.deviceId.toString(),
    device: node.device === 0n ? '0' : stat.rdev.toString(),
    xattrs: node.xattrs.map((x) => ({ name: x.name, value: x.value.toString('base64') })),
  }
}

/** Encodes nodes in a process of another zone: the zone is read once per process. */
function inZone(zone: string, nodes: readonly object[]): readonly string[] {
  const source = (file: string): string =>
    JSON.stringify(fileURLToPath(new URL(`../../packages/archive/src/format/${file}`, import.meta.url)))
  const script = `
    import { readFileSync } from 'node:fs'
    import { formatGoTime } from ${source('go-time.ts')}
    import { encodeNode } from ${source('tree.ts')}
    const time = (ns) => formatGoTime(BigInt(ns))
    const xattr = (x) => ({ name: x.name, value: Buffer.from(x.value, 'base64') })
    const revive = (n) => ({ ...n, mtime: time(n.mtime), atime: time(n.atime), ctime: time(n.ctime),
      inode: BigInt(n.inode), deviceId: BigInt(n.deviceId), device: BigInt(n.device), xattrs: n.xattrs.map(xattr) })
    console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map((n) => encodeNode(revive(n)))))`
  const options = {
    env: { ...process.env, TZ: zone },
    input: JSON.stringify(nodes),
    encoding: 'utf8',
  } as const
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], options)
  if (run.status !== 0) throw new Error(run.stderr)
  return JSON.parse(run.stdout) as string[]
}
