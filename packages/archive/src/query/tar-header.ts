import { nameToBytes } from '../format/byte-name.ts'
import { statModeFromGo } from '../format/file-mode.ts'
import { parseGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import { aclText } from './acl-text.ts'

/** One member of a tar archive, but for its content. */
export interface TarMember {
  /** Without a leading slash; surrogate-escaped. */
  readonly path: string
  readonly node: TreeNode
  /** Content bytes that follow: 0 for all but regular files. */
  readonly size: number
  /** An earlier member that this one is another name of. */
  readonly hardLinkTo: string | undefined
}

export const TAR_BLOCK = 512

const SECOND = 1_000_000_000n
const MOST_OCTAL_SIZE = 0o77777777777
const MOST_OCTAL_ID = 0o7777777

/**
 * The header blocks of a member: ustar (POSIX.1-1988), preceded by a pax extended header
 * (POSIX.1-2001) where something does not fit it: long or non-ASCII names, nanoseconds, large sizes
 * and ids, extended attributes (`SCHILY.xattr.*`) and ACLs (`SCHILY.acl.*`), as star and GNU tar read
 * them. Names that are not UTF-8 are written as their bytes, under `hdrcharset=BINARY`. Pure.
 */
export function tarHeader(member: TarMember): Buffer {
  const { node, hardLinkTo } = member
  const directory = node.type === 'dir' && !member.path.endsWith('/')
  const path = nameToBytes(directory ? `${member.path}/` : member.path)
  const target = nameToBytes(hardLinkTo ?? (node.type === 'symlink' ? node.linktarget : ''))
  const records = paxRecords(member, path, target)
  const plain = ustarBlock({
    name: path,
    mode: statModeFromGo(node.mode),
    uid: node.uid <= MOST_OCTAL_ID ? node.uid : 0,
    gid: node.gid <= MOST_OCTAL_ID ? node.gid : 0,
    size: member.size <= MOST_OCTAL_SIZE ? member.size : 0,
    seconds: octalSeconds(parseGoTime(node.mtime)),
    type: typeFlag(node, hardLinkTo),
    target,
    user: nameToBytes(node.user),
    group: nameToBytes(node.group),
  })
  return records.length === 0 ? plain : Buffer.concat([paxHeader(records, path), plain])
}

/** The zeros that fill the last block of `size` bytes of content. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK)
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * TAR_BLOCK)
}

function typeFlag(node: TreeNode, hardLinkTo: string | undefined): string {
  if (hardLinkTo !== undefined) return '1'
  if (node.type === 'symlink') return '2'
  return node.type === 'dir' ? '5' : '0'
}

function octalSeconds(mtimeNs: bigint): number {
  const seconds = Number(floorSeconds(mtimeNs))
  return seconds >= 0 && seconds <= MOST_OCTAL_SIZE ? seconds : 0
}

function floorSeconds(ns: bigint): bigint {
  const fraction = ((ns % SECOND) + SECOND) % SECOND
  return (ns - fraction) / SECOND
}

type AddRecord = (key: string, value: Buffer | string) => void

function paxRecords(member: TarMember, path: Buffer, target: Buffer): readonly Buffer[] {
  const records: Buffer[] = []
  const add: AddRecord = (key, value) => void records.push(paxRecord(Buffer.from(key), Buffer.from(value)))
  if (!isUtf8(path) || !isUtf8(target)) add('hdrcharset', 'BINARY')
  if (needsPax(path, 100)) add('path', path)
  if (needsPax(target, 100)) add('linkpath', target)
  if (member.size > MOST_OCTAL_SIZE) add('size', String(member.size))
  addOwner(member.node, add)
  addTime(parseGoTime(member.node.mtime), add)
  for (const { name, value } of member.node.xattrs) {
    const acl = aclText(name, value)
    if (acl !== undefined) add(`SCHILY.acl.${name.endsWith('_default') ? 'default' : 'access'}`, acl)
    else if (!name.includes('=')) add(`SCHILY.xattr.${name}`, value)
  }
  return records
}

function addOwner(node: TreeNode, add: AddRecord): void {
  if (node.uid > MOST_OCTAL_ID) add('uid', String(node.uid))
  if (node.gid > MOST_OCTAL_ID) add('gid', String(node.gid))
  const [user, group] = [nameToBytes(node.user), nameToBytes(node.group)]
  if (needsPax(user, 32)) add('uname', user)
  if (needsPax(group, 32)) add('gname', group)
}

function addTime(mtimeNs: bigint, add: AddRecord): void {
  const seconds = floorSeconds(mtimeNs)
  const fits = mtimeNs === seconds * SECOND && seconds >= 0n && seconds <= BigInt(MOST_OCTAL_SIZE)
  if (!fits) add('mtime', paxTime(mtimeNs))
}

function needsPax(name: Buffer, longest: number): boolean {
  return name.length > longest || name.some((byte) => byte >= 0x80)
}

function isUtf8(name: Buffer): boolean {
  return Buffer.from(name.toString('utf8')).equals(name)
}

/** Decimal seconds with nine digits after the point; the sign belongs to the whole number. */
function paxTime(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns
  const fraction = String(magnitude % SECOND)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${ns < 0n ? '-' : ''}${magnitude / SECOND}${fraction === '' ? '' : `.${fraction}`}`
}

/** `length key=value\n`, where the length counts its own digits. */
function paxRecord(key: Buffer, value: Buffer): Buffer {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length = rest + String(length).length
  return Buffer.concat([Buffer.from(`${length} `), key, Buffer.from('='), value, Buffer.from('\n')])
}

function paxHeader(records: readonly Buffer[], path: Buffer): Buffer {
  const body = Buffer.concat(records)
  const header = ustarBlock({
    name: Buffer.concat([Buffer.from('PaxHeaders.0/'), path.subarray(0, 80)]),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    seconds: 0,
    type: 'x',
    target: Buffer.alloc(0),
    user: Buffer.alloc(0),
    group: Buffer.alloc(0),
  })
  return Buffer.concat([header, body, tarPadding(body.length)])
}

interface Ustar {
  readonly name: Buffer
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly seconds: number
  readonly type: string
  readonly target: Buffer
  readonly user: Buffer
  readonly group: Buffer
}

function ustarBlock(fields: Ustar): Buffer {
  const block = Buffer.alloc(TAR_BLOCK)
  const octal = (value: number, at: number, width: number): void =>
    void block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1')
  fields.name.copy(block, 0, 0, 100)
  octal(fields.mode, 100, 8)
  octal(fields.uid, 108, 8)
  octal(fields.gid, 116, 8)
  octal(fields.size, 124, 12)
  octal(fields.seconds, 136, 12)
  block.fill(0x20, 148, 156)
  block.write(fields.type, 156, 'latin1')
  fields.target.copy(block, 157, 0, 100)
  block.write('ustar\x0000', 257, 'latin1')
  fields.user.copy(block, 265, 0, 31)
  fields.group.copy(block, 297, 0, 31)
  octal(0, 329, 8)
  octal(0, 337, 8)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
