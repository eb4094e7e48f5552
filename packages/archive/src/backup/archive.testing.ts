import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { mustRun, resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import type { Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import { type InitRepositoryOptions, initRepository } from '../repository/init-repository.ts'
import type { Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { type BackupOptions, type BackupResult, backup } from './backup.ts'

export type CheapInit = Partial<InitRepositoryOptions>

/** A new repository whose key costs nothing to derive. */
export async function cheapRepository(
  store: BlobStore = openMemoryStore(),
  options: CheapInit = {},
): Promise<Repository> {
  return await initRepository(store, {
    password: testPassword,
    scryptCost: { N: 2, r: 1, p: 1 },
    // the polynomial of the chunker's published test vectors, so that a failing run can be repeated
    polynomial: 0x3da3358b4dc173n,
    ...options,
  })
}

export async function diskRepository(directory: string, options: CheapInit = {}): Promise<Repository> {
  return await cheapRepository(openFilesystemStore(directory), options)
}

/** Backs up with one thread unless told, and loads the index before and after, as the caller of backup would. */
export async function backUp(repository: Repository, options: BackupOptions): Promise<BackupResult> {
  await repository.loadIndex()
  const result = await backup(repository, { workers: 1, ...options })
  await repository.loadIndex()
  return result
}

/** What a backup that must fail throws; no snapshot may be there afterwards that was not before. */
export async function failedBackUp(repository: Repository, options: BackupOptions): Promise<unknown> {
  const before = await repository.listFiles('snapshot')
  await repository.loadIndex()
  const error = await backup(repository, { workers: 1, ...options }).then(
    () => expect.unreachable('the backup should have failed'),
    (reason: unknown) => reason,
  )
  expect(await repository.listFiles('snapshot')).toEqual(before)
  return error
}

/** Every node of a tree by its path from the root, directories before what is in them. */
export async function allNodes(
  repository: Repository,
  tree: Hex,
  prefix = '',
): Promise<Map<string, TreeNode>> {
  const found = new Map<string, TreeNode>()
  for (const node of await repository.loadTree(tree)) {
    const path = `${prefix}/${node.name}`
    found.set(path, node)
    if (node.subtree === null) continue
    for (const entry of await allNodes(repository, node.subtree, path)) found.set(...entry)
  }
  return found
}

export async function nodeAt(repository: Repository, tree: Hex, path: string): Promise<TreeNode> {
  const node = (await allNodes(repository, tree)).get(path)
  if (node === undefined) throw new Error(`${path} is not in tree ${tree}`)
  return node
}

export async function contentOf(repository: Repository, node: TreeNode): Promise<Buffer> {
  const parts: Buffer[] = []
  for (const id of node.content ?? []) parts.push(await repository.loadBlob('data', id))
  return Buffer.concat(parts)
}

export async function contentAt(repository: Repository, tree: Hex, path: string): Promise<Buffer> {
  return await contentOf(repository, await nodeAt(repository, tree, path))
}

/** Bytes that neither compress nor repeat. */
export function noise(seed: number, length: number): Buffer {
  return seededRandom(seed).bytes(length)
}

export function makeFiles(directory: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [name, body] of Object.entries(files)) {
    const path = join(directory, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, body)
  }
}

/** A file with holes: `parts` are written at their offsets, the rest up to `size` is never written. */
export function makeSparse(path: string, size: number, parts: readonly (readonly [number, Buffer])[]): void {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, size)
  for (const [offset, bytes] of parts) writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

/** Runs the newest stock restic on a repository on disk; undefined where there is none. */
export function stockRestic(directory: string, ...args: string[]): string | undefined {
  const peer = findPeer('restic-new')
  return peer && mustRun(resticTool(peer), { repo: directory }, args)
}

/** The files of a repository directory that a writer has given up. */
export function temporaryFiles(directory: string): readonly string[] {
  if (!existsSync(directory)) return []
  const names = readdirSync(directory, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.includes('-tmp-'))
}
