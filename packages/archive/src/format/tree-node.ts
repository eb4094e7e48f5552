import type { Hex } from './ids.ts'
import type { JsonObject } from './json-document.ts'

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
