import { isUtf8 } from 'node:buffer'
import { HoldfastError } from '@holdfast/contract'
import { compareNames } from './byte-name.ts'
import { decodeNode } from './decode-node.ts'
import {
  type At,
  asObject,
  damaged,
  hasLongNumber,
  mismatch,
  parseJsonExactly,
  parseJsonText,
} from './json-document.ts'
import {
  accept,
  acceptText,
  expect,
  expectEnd,
  openScanner,
  peek,
  readKey,
  type Scanner,
  skipValue,
  spanIs,
  unexpected,
} from './json-scanner.ts'
import { type NodeMemo, newNodeMemo, scanNode } from './scan-node.ts'
import type { TreeNode } from './tree-node.ts'

export { encodeNode } from './encode-node.ts'
export type { NodeType, TreeNode } from './tree-node.ts'

/** The longest tree written or read, enough for a directory with a million entries. */
export const MAX_TREE_BYTES = 512 * 1024 * 1024

/** A tree blob: nodes already encoded, in the order of `compareNames`. Throws LimitExceeded over 512 MiB. */
export function encodeTree(encodedNodes: readonly string[]): Buffer {
  const parts = [Buffer.from('{"nodes":[')]
  for (let i = 0; i < encodedNodes.length; i += NODES_AT_ONCE) {
    const some = encodedNodes.slice(i, i + NODES_AT_ONCE).join(',')
    parts.push(Buffer.from(i === 0 ? some : `,${some}`, 'utf8'))
  }
  parts.push(Buffer.from(']}\n'))
  const tree = Buffer.concat(parts)
  if (tree.length > MAX_TREE_BYTES) throw tooLong(tree.length, 'the directory')
  return tree
}

/**
 * The nodes of a tree blob. Guarantees of the result: names are not empty, not `.` or `..`, hold neither `/` nor
 * NUL and increase strictly; types are known; times are times; ids are ids. What is allocated is in proportion to
 * the nodes. Throws Damaged, UnsupportedFormat or LimitExceeded with an offset or a JSON pointer for anything else.
 */
export function decodeTree(bytes: Uint8Array, place: string): readonly TreeNode[] {
  if (bytes.length > MAX_TREE_BYTES) throw tooLong(bytes.length, place)
  if (!isUtf8(bytes)) throw damaged('the tree is not UTF-8, expected JSON', place)
  const s = openScanner(bytes, place)
  let nodes: readonly TreeNode[] | undefined
  expect(s, OPEN_OBJECT)
  if (!accept(s, CLOSE_OBJECT)) {
    do {
      readKey(s)
      if (!spanIs(s, NODES)) skipValue(s)
      else if (nodes === undefined) nodes = decodeNodes(s)
      else throw unexpected(s, 'nodes once')
    } while (accept(s, COMMA))
    expect(s, CLOSE_OBJECT)
  }
  expectEnd(s)
  if (nodes === undefined) throw mismatch(undefined, 'an array of nodes', { place, pointer: '' }, 'nodes')
  return nodes
}

const NODES_AT_ONCE = 4096
const NODES = Buffer.from('nodes')
const NULL = Buffer.from('null')
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c
/** A node whose members are not in restic's order is parsed as a whole, which takes many times its length. */
const MAX_UNUSUAL_BYTES = 16 * 1024 * 1024

function tooLong(length: number, place: string): HoldfastError {
  const message = `the tree has ${length} bytes, at most ${MAX_TREE_BYTES} are accepted`
  return new HoldfastError('LimitExceeded', message, { place, retry: 'never' })
}

function decodeNodes(s: Scanner): readonly TreeNode[] {
  const nodes: TreeNode[] = []
  peek(s)
  if (acceptText(s, NULL)) return nodes
  expect(s, 0x5b)
  if (accept(s, 0x5d)) return nodes
  const at = new NodeAt(s.place)
  const memo = newNodeMemo()
  let previous = ''
  do {
    const node = readNode(s, at, memo)
    if (at.index > 0 && compareNames(previous, node.name) >= 0) {
      throw mismatch(node.name, `a name after ${JSON.stringify(previous.slice(0, 80))}`, at, 'name')
    }
    previous = node.name
    nodes.push(node)
    at.index++
  } while (accept(s, COMMA))
  expect(s, 0x5d)
  return nodes
}

/** Where we are; the pointer is only made when an error needs it. */
class NodeAt implements At {
  readonly place: string
  index = 0

  constructor(place: string) {
    this.place = place
  }

  get pointer(): string {
    return `/nodes/${this.index}`
  }
}

function readNode(s: Scanner, at: At, memo: NodeMemo): TreeNode {
  peek(s)
  const from = s.at
  const usual = tryUsual(s, at, memo)
  if (usual !== undefined) return usual
  s.at = from
  skipValue(s)
  if (s.at - from > MAX_UNUSUAL_BYTES) {
    const message = `an unusual node has ${s.at - from} bytes, at most ${MAX_UNUSUAL_BYTES} are accepted`
    throw new HoldfastError('LimitExceeded', message, { place: `${at.place}#${at.pointer}`, retry: 'never' })
  }
  const text = s.bytes.toString('utf8', from, s.at)
  const place = `${at.place}#${at.pointer}`
  const raw = hasLongNumber(text) ? parseJsonExactly(text, place) : parseJsonText(text, place)
  return decodeNode(asObject(raw, place), at)
}

/** Undefined when the node is not as restic writes it: whether it is valid is then for `decodeNode` to say. */
function tryUsual(s: Scanner, at: At, memo: NodeMemo): TreeNode | undefined {
  memo.usual = true
  try {
    const node = scanNode(s, at, memo)
    return memo.usual ? node : undefined
  } catch (error) {
    if (error instanceof HoldfastError || error instanceof RangeError) return undefined
    throw error
  }
}
