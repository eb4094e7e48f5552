import type { HoldfastError } from '@holdfast/contract'
import { isHoldfastError } from '@holdfast/contract'
import { compareNames } from '../format/byte-name.ts'
import { parseGoTime } from '../format/go-time.ts'
import type { Hex } from '../format/ids.ts'
import { encodeNode, type TreeNode } from '../format/tree.ts'
import type { Repository } from '../repository/repository.ts'
import { walkTree } from './walk-tree.ts'

/**
 * `+` added, `-` removed, `T` other type, `M` other content, `M?` other content though all metadata is
 * the same, `U` other metadata. Letters may come together, as restic prints them.
 */
export interface TreeChange {
  /** Ends with a slash for directories. */
  readonly path: string
  readonly modifier: string
}

export interface DiffCounts {
  files: number
  dirs: number
  others: number
  dataBlobs: number
  treeBlobs: number
  /** Plain bytes of those blobs. */
  bytes: number
}

export interface DiffResult {
  readonly changedFiles: number
  readonly added: DiffCounts
  readonly removed: DiffCounts
  /** Trees that could not be read; what is in them was not compared. */
  readonly errors: readonly HoldfastError[]
}

export interface DiffTreesOptions {
  readonly from: Hex
  readonly to: Hex
  /** Also report entries of which only metadata changed. */
  readonly metadata?: boolean
}

const BEFORE = 1
const AFTER = 2
const COMMON = 4

interface Diff {
  readonly repository: Repository
  readonly metadata: boolean
  readonly change: (change: TreeChange) => void
  readonly added: DiffCounts
  readonly removed: DiffCounts
  readonly errors: HoldfastError[]
  /** On which sides each blob was seen. */
  readonly dataBlobs: Map<Hex, number>
  readonly treeBlobs: Map<Hex, number>
  changedFiles: number
}

/**
 * What changed between two trees, reported in the order of names, and what that costs in blobs.
 * Memory: about 150 bytes for each blob either of them has. Throws when one of the two roots cannot
 * be read.
 */
export async function diffTrees(
  repository: Repository,
  { from, to, metadata = false }: DiffTreesOptions,
  change: (change: TreeChange) => void,
): Promise<DiffResult> {
  const diff: Diff = {
    repository,
    metadata,
    change,
    added: noCounts(),
    removed: noCounts(),
    errors: [],
    dataBlobs: new Map(),
    treeBlobs: new Map(),
    changedFiles: 0,
  }
  mark(diff.treeBlobs, from, BEFORE)
  mark(diff.treeBlobs, to, AFTER)
  await compareDirectories(diff, '/', from, to)
  countBlobs(diff)
  const { changedFiles, added, removed, errors } = diff
  return { changedFiles, added, removed, errors }
}

async function compareDirectories(diff: Diff, prefix: string, from: Hex, to: Hex): Promise<void> {
  const before = await diff.repository.loadTree(from)
  const after = await diff.repository.loadTree(to)
  let a = 0
  let b = 0
  while (a < before.length || b < after.length) {
    const left = before[a]
    const right = after[b]
    const order = left === undefined ? 1 : right === undefined ? -1 : compareNames(left.name, right.name)
    if (order <= 0) a++
    if (order >= 0) b++
    if (order === 0 && left !== undefined && right !== undefined)
      await compareNodes(diff, prefix, left, right)
    else if (order < 0 && left !== undefined) await oneSided(diff, prefix, left, BEFORE)
    else if (right !== undefined) await oneSided(diff, prefix, right, AFTER)
  }
}

async function compareNodes(diff: Diff, prefix: string, left: TreeNode, right: TreeNode): Promise<void> {
  markNode(diff, left, BEFORE)
  markNode(diff, right, AFTER)
  const path = pathOf(prefix, right)
  const modifier = modifierFor(diff, left, right)
  if (modifier !== '') diff.change({ path, modifier })
  if (left.subtree === null || right.subtree === null || left.type !== 'dir' || right.type !== 'dir') return
  const [from, to] = [left.subtree, right.subtree]
  await tolerate(diff, async () => {
    if (from === to) await markBelow(diff, from, COMMON)
    else await compareDirectories(diff, path, from, to)
  })
}

function modifierFor(diff: Diff, left: TreeNode, right: TreeNode): string {
  const type = left.type === right.type ? '' : 'T'
  const bothFiles = left.type === 'file' && right.type === 'file'
  if (bothFiles && !sameContent(left.content, right.content)) {
    diff.changedFiles++
    return `${type}M${sameMetadata({ ...left, content: null }, { ...right, content: null }) ? '?' : ''}`
  }
  return diff.metadata && !sameMetadata(left, right) ? `${type}U` : type
}

function sameContent(a: readonly Hex[] | null, b: readonly Hex[] | null): boolean {
  const [left, right] = [a ?? [], b ?? []]
  return left.length === right.length && left.every((id, i) => id === right[i])
}

function sameMetadata(a: TreeNode, b: TreeNode): boolean {
  return encodeNode(normalised(a)) === encodeNode(normalised(b))
}

/** The same instant may be written with another offset. */
function normalised(node: TreeNode): TreeNode {
  const instant = (time: string): string => String(parseGoTime(time))
  return { ...node, mtime: instant(node.mtime), atime: instant(node.atime), ctime: instant(node.ctime) }
}

/** Everything at and below a node that only one side has. */
async function oneSided(diff: Diff, prefix: string, node: TreeNode, side: number): Promise<void> {
  const [modifier, counts] = side === BEFORE ? ['-', diff.removed] : ['+', diff.added]
  const report = (entry: TreeNode, path: string): void => {
    diff.change({ path, modifier })
    if (entry.type === 'file') counts.files++
    else if (entry.type === 'dir') counts.dirs++
    else counts.others++
  }
  const path = pathOf(prefix, node)
  report(node, path)
  markNode(diff, node, side)
  if (node.type !== 'dir' || node.subtree === null) return
  const rootPath = path.slice(0, -1)
  for await (const event of walkTree(diff.repository, node.subtree, { rootPath })) {
    if (event.kind === 'failed') diff.errors.push(event.error)
    if (event.kind !== 'node') continue
    report(event.node, event.node.type === 'dir' ? `${event.path}/` : event.path)
    markNode(diff, event.node, side)
  }
}

/** Marks what is below a tree both sides have; a tree met before need not be read again. */
async function markBelow(diff: Diff, tree: Hex, side: number): Promise<void> {
  let fresh = true
  const descend = (): boolean => fresh
  for await (const event of walkTree(diff.repository, tree, { descend })) {
    if (event.kind === 'failed') diff.errors.push(event.error)
    if (event.kind !== 'node') continue
    const { subtree } = event.node
    fresh = subtree !== null && ((diff.treeBlobs.get(subtree) ?? 0) & side) === 0
    markNode(diff, event.node, side)
  }
}

function markNode(diff: Diff, node: TreeNode, side: number): void {
  if (node.type === 'file') for (const id of node.content ?? []) mark(diff.dataBlobs, id, side)
  if (node.type === 'dir' && node.subtree !== null) mark(diff.treeBlobs, node.subtree, side)
}

function mark(blobs: Map<Hex, number>, id: Hex, side: number): void {
  const known = blobs.get(id) ?? 0
  if ((known & side) === 0) blobs.set(id, known | side)
}

async function tolerate(diff: Diff, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!isHoldfastError(error)) throw error
    diff.errors.push(error)
  }
}

function countBlobs(diff: Diff): void {
  const { index } = diff.repository
  for (const [type, blobs] of [
    ['data', diff.dataBlobs],
    ['tree', diff.treeBlobs],
  ] as const) {
    for (const [id, sides] of blobs) {
      const counts = sides === BEFORE ? diff.removed : sides === AFTER ? diff.added : undefined
      if (counts === undefined) continue
      if (type === 'data') counts.dataBlobs++
      else counts.treeBlobs++
      counts.bytes += index.plainLength(type, id) ?? 0
    }
  }
}

function pathOf(prefix: string, node: TreeNode): string {
  return `${prefix}${node.name}${node.type === 'dir' ? '/' : ''}`
}

function noCounts(): DiffCounts {
  return { files: 0, dirs: 0, others: 0, dataBlobs: 0, treeBlobs: 0, bytes: 0 }
}
