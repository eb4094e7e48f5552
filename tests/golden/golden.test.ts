import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { compareNames, nameToBytes } from '../../packages/archive/src/format/byte-name.ts'
import { statModeFromGo } from '../../packages/archive/src/format/file-mode.ts'
import { parseGoTime } from '../../packages/archive/src/format/go-time.ts'
import { type Hex, sha256Hex } from '../../packages/archive/src/format/ids.ts'
import { decodeIndexFile } from '../../packages/archive/src/format/index-file.ts'
import { decodeKeyFile, encodeKeyFile } from '../../packages/archive/src/format/key-file.ts'
import { encodeSnapshot } from '../../packages/archive/src/format/snapshot.ts'
import { encodeNode, encodeTree, type TreeNode } from '../../packages/archive/src/format/tree.ts'
import { loadSnapshots } from '../../packages/archive/src/repository/load-snapshots.ts'
import { openRepository, type Repository } from '../../packages/archive/src/repository/repository.ts'
import { openFilesystemStore } from '../../packages/archive/src/stores/filesystem.ts'
import type { Manifest, ManifestEntry } from '../tree-manifest.ts'
import { type GoldenVersion, writeGolden } from './golden.ts'

describe.each<GoldenVersion>([1, 2])('the golden repository of version %d', (version) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-golden-'))
  const golden = writeGolden(directory, version)
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  it('is read as it was written by restic 0.14', async () => {
    await using repository = await openRepository(openFilesystemStore(directory), { password: golden.password })
    expect(repository.config.version).toBe(version)
    await repository.loadIndex()
    const { snapshots, damaged } = await loadSnapshots(repository)
    expect(damaged).toEqual([])
    expect(snapshots.map(({ time, tags }) => ({ time, tags }))).toEqual(
      golden.snapshots.map(({ time, tags }) => ({ time, tags })),
    )
    for (const [i, snapshot] of snapshots.entries()) {
      const found = await readManifest(repository, snapshot.tree)
      expect(byPath(found)).toEqual(byPath(golden.snapshots[i]?.manifest ?? new Map()))
    }
  })

  it('is the same bytes after decoding and encoding', async () => {
    await using repository = await openRepository(openFilesystemStore(directory), { password: golden.password })
    await repository.loadIndex()
    const { snapshots } = await loadSnapshots(repository)
    for (const snapshot of snapshots) {
      expect(encodeSnapshot(snapshot)).toEqual(await repository.loadUnpacked('snapshot', snapshot.id))
      await expectSameTrees(repository, snapshot.tree)
    }
    for (const { id } of await repository.listFiles('index')) {
      const json = await repository.loadUnpacked('index', id)
      expect(decodeIndexFile(json, id).packs.length).toBeGreaterThan(0)
    }
    for (const name of readdirSync(join(directory, 'keys'))) {
      const bytes = readFileSync(join(directory, 'keys', name))
      expect(encodeKeyFile(decodeKeyFile(bytes, name))).toEqual(bytes)
    }
  })
})

/** A tree encoded again hashes to its own name. */
async function expectSameTrees(repository: Repository, id: Hex): Promise<void> {
  const nodes = await repository.loadTree(id)
  expect(sha256Hex(encodeTree(nodes.map(encodeNode)))).toBe(id)
  for (const node of nodes) if (node.subtree !== null) await expectSameTrees(repository, node.subtree)
}

async function readManifest(repository: Repository, root: Hex): Promise<Manifest> {
  const manifest = new Map<string, ManifestEntry>()
  const firstNames = new Map<string, string>()
  const visit = async (tree: Hex, above: string): Promise<void> => {
    const nodes = await repository.loadTree(tree)
    expect(nodes.map((node) => node.name)).toEqual(nodes.map((node) => node.name).sort(compareNames))
    for (const node of nodes) {
      const path = above + nameToBytes(node.name).toString('latin1')
      manifest.set(path, await readEntry(repository, { node, path, firstNames }))
      if (node.subtree !== null) await visit(node.subtree, `${path}/`)
    }
  }
  await visit(root, '')
  return manifest
}

interface Found {
  readonly node: TreeNode
  readonly path: string
  readonly firstNames: Map<string, string>
}

async function readEntry(repository: Repository, { node, path, firstNames }: Found): Promise<ManifestEntry> {
  const chunks = await Promise.all((node.content ?? []).map((id) => repository.loadBlob('data', id)))
  const key = `${node.deviceId}:${node.inode}`
  const linked = node.links > 1
  if (linked && !firstNames.has(key)) firstNames.set(key, path)
  return {
    type: node.type,
    mode: node.type === 'symlink' ? 0 : statModeFromGo(node.mode),
    uid: node.uid,
    gid: node.gid,
    mtimeNs: parseGoTime(node.mtime),
    size: node.size,
    hash: node.type === 'file' ? sha256Hex(Buffer.concat(chunks)) : '',
    target: nameToBytes(node.linktarget).toString('latin1'),
    device: node.device,
    linkedTo: linked ? (firstNames.get(key) ?? '') : '',
    xattrs: node.xattrs.map(({ name, value }) => `${name}=${value.toString('base64')}`).sort(),
  }
}

function byPath(manifest: Manifest): readonly (readonly [string, ManifestEntry])[] {
  return [...manifest].sort(([a], [b]) => (a < b ? -1 : 1))
}
