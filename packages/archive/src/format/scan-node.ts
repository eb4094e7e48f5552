import { isFileName, NODE_TYPES, readTarget, readXattrs } from './decode-node.ts'
import { goUnquoteName } from './go-quote.ts'
import { isGoTimeAt } from './go-time.ts'
import type { Hex } from './ids.ts'
import {
  type At,
  hasLongNumber,
  type JsonObject,
  parseJsonExactly,
  parseJsonText,
  readExtra,
} from './json-document.ts'
import {
  accept,
  acceptQuoted,
  acceptText,
  peek,
  readHexText,
  readText,
  readU32,
  readU64,
  type Scanner,
  skipValue,
} from './json-scanner.ts'
import type { NodeType, TreeNode } from './tree-node.ts'

/** What one node hands on to the next: neighbours share owners and often times. */
export interface NodeMemo {
  /** False once something was found that only `decodeNode` can judge. */
  usual: boolean
  ctime: string
  user: string
  group: string
}

/** The memo to begin a tree with. */
export function newNodeMemo(): NodeMemo {
  return { usual: true, ctime: '', user: '', group: '' }
}

/**
 * The node at the scanner, if it has restic's members in restic's order, as nearly all have. Then nothing is
 * allocated but the node. Otherwise `memo.usual` is false or an error was thrown: both mean no more than that
 * `decodeNode` must look at it.
 */
export function scanNode(s: Scanner, at: At, memo: NodeMemo): TreeNode {
  const name = scanName(s, memo)
  const type = scanType(s, memo)
  const mode = scanU32(s, MODE)
  const mtime = scanTime(s, MTIME, '', memo)
  const atime = scanTime(s, ATIME, mtime, memo)
  const ctime = scanTime(s, CTIME, memo.ctime, memo)
  const uid = scanU32(s, UID)
  const gid = scanU32(s, GID)
  const user = scanText(s, USER, memo.user)
  const group = scanText(s, GROUP, memo.group)
  const inode = BigInt(scanU64(s, INODE))
  const deviceId = BigInt(scanU64(s, DEVICE_ID))
  const size = scanSafe(s, SIZE, memo)
  const links = scanSafe(s, LINKS, memo)
  const rare = scanRare(s)
  const device = BigInt(scanU64(s, DEVICE))
  const content = scanContent(s, memo)
  const subtree = acceptText(s, SUBTREE) ? readHexText(s) : null
  if (!accept(s, CLOSE_OBJECT)) memo.usual = false
  memo.ctime = ctime
  memo.user = user
  memo.group = group
  const linktarget = rare === NOTHING ? '' : readTarget(rare, at)
  const xattrs = readXattrs(rare, at)
  const extra = rare === NOTHING ? undefined : readExtra(rare, TYPED_RARE, at)
  // Listed one by one: spread objects would make this the slowest line.
  const node = {
    name,
    type,
    mode,
    mtime,
    atime,
    ctime,
    uid,
    gid,
    user,
    group,
    inode,
    deviceId,
    size,
    links,
    linktarget,
    xattrs,
    device,
    content,
    subtree,
  }
  return extra === undefined ? node : { ...node, extra }
}

const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c
const NAME = Buffer.from('{"name":')
const TYPE = Buffer.from(',"type":')
const MODE = Buffer.from(',"mode":')
const MTIME = Buffer.from(',"mtime":')
const ATIME = Buffer.from(',"atime":')
const CTIME = Buffer.from(',"ctime":')
const UID = Buffer.from(',"uid":')
const GID = Buffer.from(',"gid":')
const USER = Buffer.from(',"user":')
const GROUP = Buffer.from(',"group":')
const INODE = Buffer.from(',"inode":')
const DEVICE_ID = Buffer.from(',"device_id":')
const SIZE = Buffer.from(',"size":')
const LINKS = Buffer.from(',"links":')
const DEVICE = Buffer.from(',"device":')
const CONTENT = Buffer.from(',"content":')
const SUBTREE = Buffer.from(',"subtree":')
const NULL = Buffer.from('null')

/** Members that few nodes have, in their order: parsed as JSON and judged as `decodeNode` does. */
const RARE = ['linktarget', 'linktarget_raw', 'extended_attributes', 'generic_attributes'].map((key) => ({
  key,
  text: Buffer.from(`,"${key}":`),
}))
const TYPED_RARE: ReadonlySet<string> = new Set(['linktarget', 'linktarget_raw', 'extended_attributes'])
const NOTHING: JsonObject = {}
/** Past this the whole node is left to `decodeNode`, which has a bound of its own. */
const MAX_RARE_BYTES = 1024 * 1024

function scanName(s: Scanner, memo: NodeMemo): string {
  if (!acceptText(s, NAME)) memo.usual = false
  const name = goUnquoteName(readText(s))
  if (!isFileName(name)) memo.usual = false
  return name
}

function scanType(s: Scanner, memo: NodeMemo): NodeType {
  if (acceptText(s, TYPE)) {
    for (const type of NODE_TYPES) if (acceptQuoted(s, type)) return type
  }
  memo.usual = false
  return 'irregular'
}

function scanTime(s: Scanner, key: Buffer, likely: string, memo: NodeMemo): string {
  if (!acceptText(s, key)) memo.usual = false
  else if (likely !== '' && acceptQuoted(s, likely)) return likely
  const from = s.at + 1
  const time = readText(s)
  if (!isGoTimeAt(s.bytes, from, s.at - 1)) memo.usual = false
  return time
}

function scanText(s: Scanner, key: Buffer, likely: string): string {
  if (!acceptText(s, key)) return ''
  return likely !== '' && acceptQuoted(s, likely) ? likely : readText(s)
}

function scanU32(s: Scanner, key: Buffer): number {
  return acceptText(s, key) ? readU32(s) : 0
}

function scanU64(s: Scanner, key: Buffer): number | bigint {
  return acceptText(s, key) ? readU64(s) : 0
}

function scanSafe(s: Scanner, key: Buffer, memo: NodeMemo): number {
  const value = scanU64(s, key)
  if (typeof value === 'number') return value
  memo.usual = false
  return 0
}

function scanRare(s: Scanner): JsonObject {
  let found: Record<string, unknown> | undefined
  for (const { key, text } of RARE) {
    if (!acceptText(s, text)) continue
    peek(s)
    const from = s.at
    skipValue(s)
    if (s.at - from > MAX_RARE_BYTES) throw new RangeError('left to decodeNode')
    const json = s.bytes.toString('utf8', from, s.at)
    found ??= {}
    found[key] = hasLongNumber(json) ? parseJsonExactly(json, s.place) : parseJsonText(json, s.place)
  }
  return found ?? NOTHING
}

function scanContent(s: Scanner, memo: NodeMemo): readonly Hex[] | null {
  if (!acceptText(s, CONTENT)) memo.usual = false
  if (acceptText(s, NULL)) return null
  const ids: Hex[] = []
  if (!accept(s, 0x5b)) memo.usual = false
  else if (!accept(s, 0x5d)) {
    do ids.push(readHexText(s))
    while (accept(s, COMMA))
    if (!accept(s, 0x5d)) memo.usual = false
  }
  return ids
}
