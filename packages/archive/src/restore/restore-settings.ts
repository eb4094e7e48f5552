import type { Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import type { Rights } from './apply-metadata.ts'
import type { Overwrite } from './decide-node.ts'
import type { SelectNode } from './select-nodes.ts'

/** Options with every default filled in: what the steps of a run look at. */
export interface RestoreSettings {
  readonly tree: Hex
  readonly select: SelectNode
  readonly overwrite: Overwrite
  readonly deleteOthers: boolean
  readonly sparse: boolean
  readonly verify: boolean
  readonly sockets: 'skip' | 'create'
  readonly dryRun: boolean
  readonly rights: Rights
  /** Undefined: no extended attributes at all. */
  readonly xattrs: ((name: string) => boolean) | undefined
  readonly ownerOf: (node: TreeNode) => { readonly uid: number; readonly gid: number }
  readonly signal: AbortSignal | undefined
}
