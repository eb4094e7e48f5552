import { hasRawBytes, nameToBytes } from './byte-name.ts'
import { encodeUnknownJson, goJsonString } from './go-json.ts'
import { goQuoteName } from './go-quote.ts'
import type { Hex } from './ids.ts'
import type { JsonObject } from './json-document.ts'
import type { ExtendedAttribute, TreeNode } from './tree-node.ts'

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
