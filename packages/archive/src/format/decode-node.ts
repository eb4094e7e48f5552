import { HoldfastError } from '@holdfast/contract'
import { nameFromBytes } from './byte-name.ts'
import { goUnquoteName } from './go-quote.ts'
import { GO_ZERO_TIME, isGoTime } from './go-time.ts'
import { type Hex, isHex } from './ids.ts'
import {
  type At,
  damaged,
  isObject,
  type JsonObject,
  mismatch,
  readBase64,
  readExtra,
  readHex,
  readOptionalInteger,
  readOptionalString,
  readString,
  SAFE_UNSIGNED,
  U32,
} from './json-document.ts'
import type { ExtendedAttribute, NodeType, TreeNode } from './tree-node.ts'

/**
 * A node from JSON with its members in any order, unknown ones included. Slower than `scanNode`, but it takes all
 * that is valid and names what is not.
 */
export function decodeNode(raw: JsonObject, at: At): TreeNode {
  const mtime = readTime(raw, 'mtime', at, '')
  const node: TreeNode = {
    name: readName(raw, at),
    type: readType(raw, at),
    mode: readOptionalInteger(raw, 'mode', at, U32),
    mtime,
    atime: readTime(raw, 'atime', at, mtime),
    ctime: readTime(raw, 'ctime', at, mtime),
    uid: readOptionalInteger(raw, 'uid', at, U32),
    gid: readOptionalInteger(raw, 'gid', at, U32),
    user: readOptionalString(raw, 'user', at),
    group: readOptionalString(raw, 'group', at),
    inode: readU64(raw, 'inode', at),
    deviceId: readU64(raw, 'device_id', at),
    size: readOptionalInteger(raw, 'size', at, SAFE_UNSIGNED),
    links: readOptionalInteger(raw, 'links', at, SAFE_UNSIGNED),
    linktarget: readTarget(raw, at),
    xattrs: readXattrs(raw, at),
    device: readU64(raw, 'device', at),
    content: readContent(raw, at),
    subtree: raw['subtree'] === undefined || raw['subtree'] === null ? null : readHex(raw, 'subtree', at),
  }
  const extra = readExtra(raw, KNOWN, at)
  return extra === undefined ? node : { ...node, extra }
}

/** True for what a directory entry may be called: not empty, not `.` or `..`, without `/` and NUL, bounded. */
export function isFileName(name: string): boolean {
  const special = name === '' || name === '.' || name === '..' || name.length > MAX_NAME_LENGTH
  return !special && !name.includes('/') && !name.includes('\0')
}

/** No file system we know allows more than 255 characters, at most 4 bytes each. */
const MAX_NAME_LENGTH = 4096

const KNOWN = new Set([
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
  'device_id',
  'size',
  'links',
  'linktarget',
  'linktarget_raw',
  'extended_attributes',
  'device',
  'content',
  'subtree',
])

function readName(raw: JsonObject, at: At): string {
  const stored = readString(raw, 'name', at)
  const name = unquote(stored, at)
  if (name.length > MAX_NAME_LENGTH) {
    const message = `the name has ${name.length} characters, at most ${MAX_NAME_LENGTH} are accepted`
    throw new HoldfastError('LimitExceeded', message, {
      place: `${at.place}#${at.pointer}/name`,
      retry: 'never',
    })
  }
  if (!isFileName(name)) {
    throw mismatch(name, 'a file name: not empty, not . or .., without / and NUL', at, 'name')
  }
  return name
}

function unquote(stored: string, at: At): string {
  try {
    return goUnquoteName(stored)
  } catch (error) {
    throw damaged(
      error instanceof Error ? error.message : 'bad name',
      `${at.place}#${at.pointer}/name`,
      error,
    )
  }
}

/** Every type of node, the frequent ones first. */
export const NODE_TYPES: readonly NodeType[] = [
  'file',
  'dir',
  'symlink',
  'dev',
  'chardev',
  'fifo',
  'socket',
  'irregular',
]

function readType(raw: JsonObject, at: At): NodeType {
  const type = readString(raw, 'type', at)
  const known = NODE_TYPES.find((one) => one === type)
  if (known !== undefined) return known
  const message = `found the node type ${JSON.stringify(type.slice(0, 80))}, expected one of ${NODE_TYPES.join(', ')}`
  throw new HoldfastError('UnsupportedFormat', message, {
    place: `${at.place}#${at.pointer}/type`,
    retry: 'never',
  })
}

/** `valid` is a time already checked: the three times of a node are often the same. */
function readTime(raw: JsonObject, key: string, at: At, valid: string): string {
  const value = raw[key]
  if (value === undefined || value === null) return GO_ZERO_TIME
  if (value === valid) return valid
  if (typeof value !== 'string' || !isGoTime(value)) throw mismatch(value, 'an RFC 3339 time', at, key)
  return value
}

function readU64(raw: JsonObject, key: string, at: At): bigint {
  const value = raw[key]
  if (value === undefined || value === null || value === 0) return 0n
  if (typeof value === 'bigint' && value >= 0n && value <= 0xffffffffffffffffn) return value
  if (typeof value === 'number' && value > 0 && Number.isSafeInteger(value)) return BigInt(value)
  throw mismatch(value, 'an unsigned 64-bit integer', at, key)
}

/** The target of a symbolic link; `linktarget_raw` wins, because it is exact. */
export function readTarget(raw: JsonObject, at: At): string {
  const bytes = raw['linktarget_raw']
  if (bytes === undefined || bytes === null) return readOptionalString(raw, 'linktarget', at)
  return nameFromBytes(readBase64(raw, 'linktarget_raw', at))
}

const NO_XATTRS: readonly ExtendedAttribute[] = []

/** The extended attributes; none when absent or null. */
export function readXattrs(raw: JsonObject, at: At): readonly ExtendedAttribute[] {
  const value = raw['extended_attributes']
  if (value === undefined || value === null) return NO_XATTRS
  if (!Array.isArray(value)) throw mismatch(value, 'an array of attributes', at, 'extended_attributes')
  return value.map((item: unknown, i) => {
    const key = `extended_attributes/${i}`
    if (!isObject(item)) throw mismatch(item, 'an attribute', at, key)
    const inside = { place: at.place, pointer: `${at.pointer}/${key}` }
    // Go writes a nil []byte as null.
    const empty = item['value'] === undefined || item['value'] === null
    return {
      name: readString(item, 'name', inside),
      value: empty ? Buffer.alloc(0) : readBase64(item, 'value', inside),
    }
  })
}

function readContent(raw: JsonObject, at: At): readonly Hex[] | null {
  const value = raw['content']
  if (value === undefined || value === null) return null
  if (!Array.isArray(value)) throw mismatch(value, 'an array of blob ids or null', at, 'content')
  for (const [i, id] of value.entries()) {
    if (typeof id !== 'string' || !isHex(id))
      throw mismatch(id, '64 lower-case hex digits', at, `content/${i}`)
  }
  return value as readonly Hex[]
}
