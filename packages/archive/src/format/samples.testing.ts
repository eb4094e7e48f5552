import fc from 'fast-check'
import { compareNames, nameFromBytes } from './byte-name.ts'
import { formatGoTime } from './go-time.ts'
import type { Hex } from './ids.ts'
import type { IndexFile } from './index-file.ts'
import { parseJsonExactly } from './json-document.ts'
import type { PackedBlob } from './pack-header.ts'
import type { Snapshot } from './snapshot.ts'
import type { NodeType, TreeNode } from './tree.ts'

/** Arbitrary valid values of the format, for property tests. */
export const hexId: fc.Arbitrary<Hex> = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((b) => Buffer.from(b).toString('hex'))

const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u64 = fc.bigInt(0n, 0xffffffffffffffffn)
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const time = fc.bigInt(-62_000_000_000_000_000_000n, 253_000_000_000_000_000_000n).map(formatGoTime)
const text = fc.string({ unit: 'binary', maxLength: 20 })

/** A name as `nameFromBytes` makes it, valid as that of a file. */
export const fileName: fc.Arbitrary<string> = fc
  .oneof(
    fc.uint8Array({ minLength: 1, maxLength: 20 }),
    fc
      .string({ unit: 'binary', minLength: 1, maxLength: 20 })
      .map((s) => new Uint8Array(Buffer.from(s, 'utf8'))),
  )
  .map((b) => nameFromBytes(b).replaceAll('/', '_').replaceAll('\0', '_'))
  .filter((name) => name !== '.' && name !== '..')

const types: readonly NodeType[] = ['file', 'dir', 'symlink', 'dev', 'chardev', 'fifo', 'socket', 'irregular']

const json = fc.jsonValue({ maxDepth: 3 }).map((value) => parseJsonExactly(JSON.stringify(value), 'sample'))

export const treeNode: fc.Arbitrary<TreeNode> = fc.record(
  {
    name: fileName,
    type: fc.constantFrom(...types),
    mode: u32,
    mtime: time,
    atime: time,
    ctime: time,
    uid: u32,
    gid: u32,
    user: text,
    group: text,
    inode: u64,
    deviceId: u64,
    size: count,
    links: count,
    linktarget: fc.oneof(fc.constant(''), fileName),
    xattrs: fc.array(
      fc.record({ name: text, value: fc.uint8Array({ maxLength: 20 }).map((b) => Buffer.from(b)) }),
      {
        maxLength: 3,
      },
    ),
    device: u64,
    content: fc.oneof(fc.constant(null), fc.array(hexId, { maxLength: 3 })),
    subtree: fc.oneof(fc.constant(null), hexId),
    extra: fc.record({ generic_attributes: json, unknown_member: json }),
  },
  {
    requiredKeys: [
      'name',
      'type',
      'mode',
      'mtime',
      'atime',
      'ctime',
      'uid',
      'gid',
      'user',
      'group',
      'inode',
      'deviceId',
      'size',
      'links',
      'linktarget',
      'xattrs',
      'device',
      'content',
      'subtree',
    ],
  },
)

/** Nodes with distinct names in the order of a tree. */
export const treeNodes: fc.Arbitrary<readonly TreeNode[]> = fc
  .uniqueArray(treeNode, { selector: (node) => node.name, maxLength: 6 })
  .map((nodes) => nodes.sort((a, b) => compareNames(a.name, b.name)))

const summary = fc.record({
  backupStart: time,
  backupEnd: time,
  filesNew: count,
  filesChanged: count,
  filesUnmodified: count,
  dirsNew: count,
  dirsChanged: count,
  dirsUnmodified: count,
  dataBlobs: count,
  treeBlobs: count,
  dataAdded: count,
  dataAddedPacked: count,
  totalFilesProcessed: count,
  totalBytesProcessed: count,
})

const someText = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })

export const snapshot: fc.Arbitrary<Snapshot> = fc.record(
  {
    time,
    parent: hexId,
    tree: hexId,
    paths: fc.array(text, { maxLength: 3 }),
    hostname: text,
    username: text,
    uid: u32,
    gid: u32,
    excludes: fc.array(text, { maxLength: 3 }),
    tags: fc.array(text, { maxLength: 3 }),
    original: hexId,
    programVersion: someText,
    summary,
    description: someText,
    extra: fc.record({ unknown_member: json }),
  },
  { requiredKeys: ['time', 'tree', 'paths', 'hostname', 'username', 'uid', 'gid', 'excludes', 'tags'] },
)

/** Blobs that lie in a pack one after the other. */
export const packedBlobs: fc.Arbitrary<readonly PackedBlob[]> = fc
  .array(
    fc.record({
      type: fc.constantFrom('data' as const, 'tree' as const),
      id: hexId,
      length: fc.integer({ min: 32, max: 0xffffff }),
      uncompressedLength: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 0xffffffff })),
    }),
    { maxLength: 8 },
  )
  .map((blobs) => {
    let offset = 0
    return blobs.map((blob) => {
      const at = offset
      offset += blob.length
      return { ...blob, offset: at }
    })
  })

export const indexFile: fc.Arbitrary<IndexFile> = fc.record({
  supersedes: fc.array(hexId, { maxLength: 2 }),
  packs: fc.array(fc.record({ id: hexId, blobs: packedBlobs }), { maxLength: 4 }),
})
