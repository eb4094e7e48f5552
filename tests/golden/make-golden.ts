/**
 * Makes golden.json anew; see README.md. Needs root (devices, owners) and restic 0.14 as HOLDFAST_RESTIC_OLD
 * or on PATH. Ids, salts and IVs are random, so every run makes other repositories with the same contents.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  lchownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type Libc, openLibc } from '../libc.ts'
import { findPeer } from '../peers.ts'
import { joinBytes, type Manifest, readManifest } from '../tree-manifest.ts'

const root = '/var/tmp/holdfast-golden'
const tree = `${root}/tree`
const password = 'golden password'
const second = 1_000_000_000n

interface GoldenJson {
  readonly password: string
  readonly repositories: Record<string, { snapshots: unknown[]; files: Record<string, string> }>
}

function main(): void {
  const peer = findPeer('restic-old')
  if (peer === undefined || !peer.version.startsWith('0.14.')) throw new Error('restic 0.14 is needed')
  const libc = openLibc()
  const golden: GoldenJson = { password, repositories: {} }
  for (const version of ['2', '1']) {
    rmSync(root, { recursive: true, force: true })
    const restic = (args: readonly string[]): void => {
      const all = ['-r', `${root}/repo`, '--no-cache', '-q', ...args]
      const env = { ...process.env, RESTIC_PASSWORD: password, TZ: 'UTC' }
      const { status, stderr } = spawnSync(peer.command, all, { cwd: tree, env, encoding: 'utf8' })
      if (status !== 0) throw new Error(stderr)
    }
    makeFirstTree(libc, version === '2')
    restic(['init', '--repository-version', version])
    const manifests: Manifest[] = []
    const backUp = (day: string, tag: string): void => {
      restic(['backup', '.', '--host', 'golden', '--time', `2024-02-${day} 04:05:06`, '--tag', tag])
      manifests.push(readManifest(tree, libc))
    }
    backUp('03', 'first')
    changeTree(libc)
    backUp('04', 'second')
    const files = readFiles(`${root}/repo`)
    golden.repositories[version] = { snapshots: manifests.map(describeSnapshot), files }
  }
  rmSync(root, { recursive: true, force: true })
  writeFileSync(new URL('./golden.json', import.meta.url), `${JSON.stringify(golden, null, 2)}\n`)
}

/** One of everything that restic 0.14 stores without loss. */
function makeFirstTree(libc: Libc, withZeros: boolean): void {
  mkdirSync(`${tree}/dir/deeper`, { recursive: true })
  mkdirSync(`${tree}/empty-dir`)
  const file = (name: string, content: string | Buffer, mode = 0o644): Buffer => {
    const path = joinBytes(tree, name)
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }
  file('plain.txt', 'The quick brown fox.\n')
  file('empty', '')
  file('dir/deeper/script.sh', '#!/bin/sh\nexit 0\n', 0o755)
  file('setuid', 'x', 0o4711)
  file('secret', 'nobody reads this', 0)
  file('new\nline "and" \\quote', 'odd name')
  file('not-utf8-\xff\xfe', 'odd bytes')
  file('\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x80\xa8', 'an accent, a face, a line separator')
  // Three chunks of two kinds: the chunker cuts zeros at its shortest length.
  if (withZeros) file('zeros', Buffer.alloc(1_310_720))
  const hard = file('hard-1', 'two names, one file')
  linkSync(hard, `${tree}/hard-2`)
  const owned = file('owned', 'by an unknown user')
  lchownSync(owned, 12345, 54321)
  const attributed = file('attributed', 'with extended attributes')
  libc.setXattr(attributed, 'user.colour', Buffer.from('blue\0\xff', 'latin1'))
  libc.setXattr(attributed, 'user.empty', Buffer.alloc(0))
  symlinkSync('plain.txt', `${tree}/link`)
  symlinkSync('/no/such/place/é', `${tree}/dangling`)
  libc.mkfifo(joinBytes(tree, 'fifo'), 0o640)
  libc.mknod(joinBytes(tree, 'null'), 0o020666, 0x103n)
  libc.mknod(joinBytes(tree, 'disk'), 0o060660, 0x700n)
  chmodSync(`${tree}/dir`, 0o3775)
  setTimes(libc)
}

/** Distinct times to the nanosecond, some before 1970, parents after their children. */
function setTimes(libc: Libc): void {
  const paths = [...readManifest(tree, libc).keys()].filter((path) => path !== '').reverse()
  for (const [i, path] of paths.entries()) {
    const time = i % 5 === 4 ? -second * 1_000_000n * BigInt(i) - 1n : second * 1_600_000_000n + BigInt(i) * 1_000_000_007n
    libc.setTimes(joinBytes(tree, path), time, time)
  }
}

function changeTree(libc: Libc): void {
  writeFileSync(`${tree}/plain.txt`, 'The quick brown fox jumps over the lazy dog.\n')
  libc.setTimes(joinBytes(tree, 'plain.txt'), 0n, second * 1_700_000_000n + 1n)
  rmSync(`${tree}/secret`)
  writeFileSync(`${tree}/dir/added`, 'in the second snapshot only')
  libc.setTimes(joinBytes(tree, 'dir/added'), 0n, second * 1_700_000_001n)
  libc.setTimes(joinBytes(tree, 'dir'), 0n, second * 1_700_000_002n)
}

/** Entries without the root, whose own attributes `backup .` does not store. */
function describeSnapshot(manifest: Manifest, i: number): unknown {
  const bigints = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value)
  const entries = Object.fromEntries([...manifest].filter(([path]) => path !== ''))
  const plain: unknown = JSON.parse(JSON.stringify(entries, bigints))
  return { time: `2024-02-0${i + 3}T04:05:06Z`, tags: [i === 0 ? 'first' : 'second'], entries: plain }
}

function readFiles(repo: string): Record<string, string> {
  const entries = readdirSync(repo, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => `${entry.parentPath}/${entry.name}`.slice(repo.length + 1)).sort()
  return Object.fromEntries(paths.map((path) => [path, readFileSync(`${repo}/${path}`).toString('base64')]))
}

main()
