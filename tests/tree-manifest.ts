import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import type { Libc } from './libc.ts'

/** Everything about one directory entry that a restore must bring back. */
export interface ManifestEntry {
  readonly type: string
  /** Permission, setuid, setgid and sticky bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
  /** Of files only, else 0. */
  readonly size: number
  /** SHA-256 of a file's bytes, else ''. */
  readonly hash: string
  /** A symlink's target as latin-1 of its bytes, else ''. */
  readonly target: string
  /** Of device nodes, else 0. */
  readonly device: bigint
  /** The first path (in byte order) with the same inode, when the entry has several names, else ''. */
  readonly linkedTo: string
  /** `name=base64` each, sorted. */
  readonly xattrs: readonly string[]
}

/** Paths below the root as latin-1 of their bytes (so any name is kept), in byte order. The root is ''. */
export type Manifest = ReadonlyMap<string, ManifestEntry>

/** Reads a real directory tree into a value that can be kept and compared. */
export function readManifest(root: string, libc: Libc): Manifest {
  const manifest = new Map<string, ManifestEntry>()
  const firstNames = new Map<string, string>()
  const visit = (relative: string): void => {
    const path = joinBytes(root, relative)
    const stat = lstatSync(path, { bigint: true })
    manifest.set(relative, readEntry({ path, relative, stat, libc, firstNames }))
    if (!stat.isDirectory()) return
    const names = readdirSync(path, { encoding: 'buffer' }).sort((a, b) => Buffer.compare(a, b))
    for (const name of names) visit(relative === '' ? latin(name) : `${relative}/${latin(name)}`)
  }
  visit('')
  return manifest
}

export interface ManifestTolerance {
  /** Types that the restoring tool does not recreate (restic: sockets). */
  readonly absentTypes?: readonly string[]
  /** Attributes that the tool in question is known not to keep. */
  readonly ignore?: readonly (keyof ManifestEntry)[]
  /** Do not look at the root directory's own attributes. */
  readonly ignoreRoot?: boolean
}

/** Every difference as one readable line; empty when the trees are equal. */
export function compareManifests(
  expected: Manifest,
  found: Manifest,
  tolerance: ManifestTolerance = {},
): readonly string[] {
  const differences: string[] = []
  for (const [path, entry] of expected) {
    if (path === '' && tolerance.ignoreRoot) continue
    const other = found.get(path)
    if (other === undefined) {
      if (!tolerance.absentTypes?.includes(entry.type))
        differences.push(`${JSON.stringify(path)}: missing ${entry.type}`)
      continue
    }
    differences.push(...compareEntries(path, entry, other, tolerance))
  }
  for (const [path, entry] of found) {
    if (!expected.has(path)) differences.push(`${JSON.stringify(path)}: unexpected ${entry.type}`)
  }
  return differences
}

function compareEntries(
  path: string,
  expected: ManifestEntry,
  found: ManifestEntry,
  tolerance: ManifestTolerance,
): readonly string[] {
  const differences: string[] = []
  for (const key of Object.keys(expected) as (keyof ManifestEntry)[]) {
    if (tolerance.ignore?.includes(key)) continue
    const [a, b] = [String(expected[key]), String(found[key])]
    if (a !== b)
      differences.push(`${JSON.stringify(path)}: ${key} ${JSON.stringify(b)}, expected ${JSON.stringify(a)}`)
  }
  return differences
}

interface EntryToRead {
  readonly path: Buffer
  readonly relative: string
  readonly stat: BigIntStats
  readonly libc: Libc
  readonly firstNames: Map<string, string>
}

function readEntry({ path, relative, stat, libc, firstNames }: EntryToRead): ManifestEntry {
  const type = typeOf(stat)
  const file = type === 'file'
  return {
    type,
    mode: type === 'symlink' ? 0 : Number(stat.mode & 0o7777n),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    size: file ? Number(stat.size) : 0,
    hash: file ? hashFile(path) : '',
    target: type === 'symlink' ? latin(readlinkSync(path, { encoding: 'buffer' })) : '',
    device: type === 'chardev' || type === 'dev' ? stat.rdev : 0n,
    linkedTo: type === 'dir' || stat.nlink < 2n ? '' : firstName(firstNames, stat, relative),
    xattrs: libc.listXattrs(path).map((name) => `${name}=${libc.getXattr(path, name).toString('base64')}`),
  }
}

function firstName(firstNames: Map<string, string>, stat: BigIntStats, relative: string): string {
  const key = `${stat.dev}:${stat.ino}`
  const first = firstNames.get(key) ?? relative
  firstNames.set(key, first)
  return first
}

function typeOf(stat: BigIntStats): string {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'dir'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isSocket()) return 'socket'
  if (stat.isCharacterDevice()) return 'chardev'
  return 'dev'
}

const readBuffer = Buffer.alloc(1 << 20)

function hashFile(path: Buffer): string {
  const hash = createHash('sha256')
  const fd = openSync(path, 'r')
  try {
    for (let n = readSync(fd, readBuffer); n > 0; n = readSync(fd, readBuffer))
      hash.update(readBuffer.subarray(0, n))
  } finally {
    closeSync(fd)
  }
  return hash.digest('hex')
}

/** A root path and a latin-1 relative path as the bytes the kernel wants. */
export function joinBytes(root: string, relative: string): Buffer {
  const base = Buffer.from(root)
  return relative === '' ? base : Buffer.concat([base, Buffer.from('/'), Buffer.from(relative, 'latin1')])
}

function latin(bytes: Buffer): string {
  return bytes.toString('latin1')
}
