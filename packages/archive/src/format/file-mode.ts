import type { NodeType } from './tree-node.ts'

/** What a node's `type` and `mode` are for an `st_mode` of stat(2). Mode is a Go os.FileMode. */
export function goModeFromStat(mode: number): { type: NodeType; mode: number } {
  const { type, bits } = KINDS.get(mode & S_IFMT) ?? IRREGULAR
  let goMode = (mode & 0o777) + bits
  if (mode & S_ISUID) goMode += GO_SETUID
  if (mode & S_ISGID) goMode += GO_SETGID
  if (mode & S_ISVTX) goMode += GO_STICKY
  return { type, mode: goMode }
}

/** The bits for chmod(2), at most 0o7777: permissions, setuid, setgid and sticky. */
export function statModeFromGo(goMode: number): number {
  let mode = goMode & 0o777
  if (goMode & GO_SETUID) mode |= S_ISUID
  if (goMode & GO_SETGID) mode |= S_ISGID
  if (goMode & GO_STICKY) mode |= S_ISVTX
  return mode
}

const S_IFMT = 0o170000
const S_ISUID = 0o4000
const S_ISGID = 0o2000
const S_ISVTX = 0o1000

const GO_DIR = 2 ** 31
const GO_SYMLINK = 2 ** 27
const GO_DEVICE = 2 ** 26
const GO_NAMED_PIPE = 2 ** 25
const GO_SOCKET = 2 ** 24
const GO_SETUID = 2 ** 23
const GO_SETGID = 2 ** 22
const GO_CHAR_DEVICE = 2 ** 21
const GO_STICKY = 2 ** 20
const GO_IRREGULAR = 2 ** 19

interface Kind {
  readonly type: NodeType
  readonly bits: number
}

const IRREGULAR: Kind = { type: 'irregular', bits: GO_IRREGULAR }

const KINDS = new Map<number, Kind>([
  [0o010000, { type: 'fifo', bits: GO_NAMED_PIPE }],
  [0o020000, { type: 'chardev', bits: GO_DEVICE + GO_CHAR_DEVICE }],
  [0o040000, { type: 'dir', bits: GO_DIR }],
  [0o060000, { type: 'dev', bits: GO_DEVICE }],
  [0o100000, { type: 'file', bits: 0 }],
  [0o120000, { type: 'symlink', bits: GO_SYMLINK }],
  [0o140000, { type: 'socket', bits: GO_SOCKET }],
])
