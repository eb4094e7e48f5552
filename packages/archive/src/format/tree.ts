import { HoldfastError } from '@holdfast/contract'
import { compareNames, hasRawBytes, nameFromBytes, nameToBytes } from './byte-name.ts'
import { encodeUnknownJson, goJsonString } from './go-json.ts'
import { goQuoteName, goUnquoteName } from './go-quote.ts'
import { GO_ZERO_TIME, isGoTime } from './go-time.ts'
import { type Hex, isHex } from './ids.ts'
import {
  type At,
  asObject,
  damaged,
  hasLongNumber,
  isObject,
  type JsonObject,
  mismatch,
  parseJsonExactly,
  parseJsonText,
  readBase64,
  readExtra,
  readHex,
  readJsonText,
  readOptionalInteger,
  readOptionalString,
  readString,
  SAFE_UNSIGNED,
  U32,
} from './json-document.ts'

export type NodeType = 'file' | 'dir' | 'symlink' | 'dev' | 'chardev' | 'fifo' | 'socket' | 'irregular'

export interface ExtendedAttribute {
  readonly name: string
  readonly value: Buffer
}

/** One entry of a directory, as restic stores it. */
export interface TreeNode {
  /** See `nameFromBytes` for names that are not UTF-8. */
  readonly name: string
  readonly type: NodeType
  /** Go's os.FileMode; see `statModeFromGo`. */
  readonly mode: number
  /** Times are RFC 3339 text exactly as stored; see `parseGoTime`. */
  readonly mtime: string
  readonly atime: string
  readonly ctime: string
  readonly uid: number
  readonly gid: number
  readonly user: string
  readonly group: string
  readonly inode: bigint
  readonly deviceId: bigint
  readonly size: number
  readonly links: number
  /** Encoded like `name`; '' when there is none. */
  readonly linktarget: string
  readonly xattrs: readonly ExtendedAttribute[]
  /** st_rdev of a device node. */
  readonly device: bigint
  readonly content: readonly Hex[] | null
  readonly subtree: Hex | null
  /** Members this version does not know, such as generic_attributes; kept on encoding. */
  readonly extra?: JsonObject
}

/**
 * One node as the JSON object that restic writes, byte for byte: its order of members, its rules for
 * leaving out empty ones, Go's escaping. Times must be as `formatGoTime` makes them.
 */
export function encodeNode(node: TreeNode): string {
  return (
    `{"name":${goJsonString(goQuoteName(node.name))},"type":"${node.type}"${optional(',"mode":', node.mode)}` +
    `,"mtime":"${node.mtime}","atime":"${node.atime}","ctime":"${node.ctime}","uid":${node.uid},"gid":${node.gid}` +
    optionalText(',"user":', node.user) +
    optionalText(',"group":', node.group) +
    optional(',"inode":', node.inode) +
    optional(',"device_id":', node.deviceId) +
    optional(',"size":', node.size) +
    optional(',"links":', node.links) +
    encodeTarget(node.linktarget) +
    encodeXattrs(node.xattrs) +
    encodeGenericAttributes(node.extra) +
    optional(',"device":', node.device) +
    encodeContent(node.content) +
    (node.subtree === null ? '' : `,"subtree":"${node.subtree}"`) +
    `${encodeExtra(node.extra)}}`
  )
}

/** A tree blob: nodes already encoded, in the order of `compareNames`. */
export function encodeTree(encodedNodes: readonly string[]): Buffer {
  return Buffer.from(`{"nodes":[${encodedNodes.join(',')}]}\n`, 'utf8')
}

/**
 * The nodes of a tree blob. Guarantees of the result: names are not empty, not `.` or `..`, hold
 * neither `/` nor NUL and increase strictly; types are known; times are times; ids are ids. Throws
 * Damaged, UnsupportedFormat or LimitExceeded with a JSON pointer for anything else.
 */
export function decodeTree(bytes: Uint8Array, place: string): readonly TreeNode[] {
  const text = readJsonText(bytes, place, MAX_TREE_BYTES)
  return (
    decodeNodes(nodesOf(parseJsonText(text, place), place), { text, place, exact: false }) ??
    decodeNodes(nodesOf(parseJsonExactly(text, place), place), { text, place, exact: true }) ??
    []
  )
}

/** About a million entries in one directory; also what a JavaScript string can hold. */
const MAX_TREE_BYTES = 0x1fffffe8
/** No file system we know allows more than 255 characters, at most 4 bytes each. */
const MAX_NAME_LENGTH = 4096

function optional(prefix: string, value: number | bigint): string {
  return value === 0 || value === 0n ? '' : prefix + value
}

function optionalText(prefix: string, value: string): string {
  return value === '' ? '' : prefix + goJsonString(value)
}

function encodeTarget(target: string): string {
  if (target === '') return ''
  const text = `,"linktarget":${goJsonString(target)}`
  return hasRawBytes(target) ? `${text},"linktarget_raw":"${nameToBytes(target).toString('base64')}"` : text
}

function encodeXattrs(xattrs: readonly ExtendedAttribute[]): string {
  if (xattrs.length === 0) return ''
  const items = xattrs.map((x) => `{"name":${goJsonString(x.name)},"value":"${x.value.toString('base64')}"}`)
  return `,"extended_attributes":[${items.join(',')}]`
}

function encodeContent(content: readonly Hex[] | null): string {
  if (content === null) return ',"content":null'
  return content.length === 0 ? ',"content":[]' : `,"content":["${content.join('","')}"]`
}

function encodeGenericAttributes(extra: JsonObject | undefined): string {
  const value = extra?.[GENERIC]
  return value === undefined ? '' : `,"${GENERIC}":${encodeUnknownJson(value)}`
}

function encodeExtra(extra: JsonObject | undefined): string {
  if (extra === undefined) return ''
  const rest = Object.entries(extra).filter(([key]) => key !== GENERIC)
  return rest.map(([key, value]) => `,${goJsonString(key)}:${encodeUnknownJson(value)}`).join('')
}

const GENERIC = 'generic_attributes'

interface Source {
  readonly text: string
  readonly place: string
  /** Whether big integers were parsed as bigint. */
  readonly exact: boolean
}

function nodesOf(document: unknown, place: string): readonly unknown[] {
  const nodes = asObject(document, place)['nodes']
  if (nodes === null) return []
  if (!Array.isArray(nodes)) throw mismatch(nodes, 'an array of nodes', { place, pointer: '' }, 'nodes')
  return nodes as readonly unknown[]
}

/** Undefined when a number was rounded by the quick parser and the text must be parsed exactly. */
function decodeNodes(raws: readonly unknown[], source: Source): readonly TreeNode[] | undefined {
  const at = new NodeAt(source.place)
  const nodes: TreeNode[] = []
  let previous = ''
  for (const [i, raw] of raws.entries()) {
    at.index = i
    if (!isObject(raw)) throw mismatch(raw, 'a node', { place: source.place, pointer: '/nodes' }, String(i))
    if (!source.exact && isRounded(raw)) return undefined
    const hasExtra = !onlyKnown(raw)
    if (hasExtra && !source.exact && hasLongNumber(source.text)) return undefined
    const node = decodeNode(raw, at, hasExtra)
    if (i > 0 && compareNames(previous, node.name) >= 0) {
      throw mismatch(node.name, `a name after ${JSON.stringify(previous.slice(0, 80))}`, at, 'name')
    }
    previous = node.name
    nodes.push(node)
  }
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

function isRounded(raw: JsonObject): boolean {
  return rounds(raw['inode']) || rounds(raw['device_id']) || rounds(raw['device'])
}

function rounds(value: unknown): boolean {
  return typeof value === 'number' && value > Number.MAX_SAFE_INTEGER
}

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

function onlyKnown(raw: JsonObject): boolean {
  for (const key in raw) if (!KNOWN.has(key)) return false
  return true
}

function decodeNode(raw: JsonObject, at: At, hasExtra: boolean): TreeNode {
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
  const extra = hasExtra ? readExtra(raw, KNOWN, at) : undefined
  return extra === undefined ? node : { ...node, extra }
}

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
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) {
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

const TYPES = new Set<string>(['file', 'dir', 'symlink', 'dev', 'chardev', 'fifo', 'socket', 'irregular'])

function readType(raw: JsonObject, at: At): NodeType {
  const type = readString(raw, 'type', at)
  if (TYPES.has(type)) return type as NodeType
  const message = `found the node type ${JSON.stringify(type.slice(0, 80))}, expected one of ${[...TYPES].join(', ')}`
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

function readTarget(raw: JsonObject, at: At): string {
  const bytes = raw['linktarget_raw']
  if (bytes === undefined || bytes === null) return readOptionalString(raw, 'linktarget', at)
  return nameFromBytes(readBase64(raw, 'linktarget_raw', at))
}

const NO_XATTRS: readonly ExtendedAttribute[] = []

function readXattrs(raw: JsonObject, at: At): readonly ExtendedAttribute[] {
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
