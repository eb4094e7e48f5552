import { fchmodSync, fchownSync } from 'node:fs'
import type { Posix } from '../posix/posix.ts'

export interface Xattr {
  readonly name: string
  readonly value: Uint8Array
}

/** What is set on an entry besides its content. */
export interface Metadata {
  readonly uid: number
  readonly gid: number
  /** 07777. */
  readonly mode: number
  readonly atimeNs: bigint
  readonly mtimeNs: bigint
  readonly xattrs: readonly Xattr[]
  /** Remove attributes the entry has and the snapshot does not: it existed before, or inherited an ACL. */
  readonly removeOthers: boolean
}

/** Who is restoring. Only root can give files away. */
export interface Rights {
  readonly uid: number
  readonly gid: number
}

/** Something about one entry that could not be set. Its content is not in doubt. */
export interface MetadataProblem {
  readonly what: 'owner' | 'xattr' | 'mode' | 'time'
  /** Expected without the rights or the file system for it: counted, but no error. */
  readonly lenient: boolean
  readonly message: string
}

/**
 * Sets owner, attributes, times and mode on an open file or directory, in an order in which none
 * undoes another: a change of owner clears setuid bits and file capabilities, an ACL changes the
 * mode, and a mode without `w` forbids attributes. Reports instead of throwing.
 */
export function applyMetadata(
  posix: Posix,
  fd: number,
  metadata: Metadata,
  rights: Rights,
): readonly MetadataProblem[] {
  const problems: MetadataProblem[] = []
  const owned = attempt(problems, 'owner', rights, () => changeOwner(fd, metadata, rights))
  if (metadata.removeOthers)
    attempt(problems, 'xattr', rights, () => removeOtherXattrs(posix, fd, metadata.xattrs))
  for (const { name, value } of metadata.xattrs) {
    attempt(problems, 'xattr', rights, () => named(name, () => posix.fsetXattr(fd, name, value)))
  }
  // a setuid bit given to the wrong owner would be a hole of our making
  const mode = owned ? metadata.mode : metadata.mode & 0o1777
  attempt(problems, 'mode', rights, () => fchmodSync(fd, mode))
  attempt(problems, 'time', rights, () => posix.futimens(fd, metadata.atimeNs, metadata.mtimeNs))
  return problems
}

/** The same for an entry that cannot be opened without side effects: a link, device, pipe or socket. */
export function applyEntryMetadata(
  posix: Posix,
  entry: { readonly dirFd: number; readonly name: Uint8Array; readonly symlink: boolean },
  metadata: Metadata,
  rights: Rights,
): readonly MetadataProblem[] {
  const { dirFd, name } = entry
  const problems: MetadataProblem[] = []
  attempt(problems, 'owner', rights, () => posix.fchownat(dirFd, name, metadata.uid, metadata.gid))
  for (const xattr of metadata.xattrs) {
    attempt(problems, 'xattr', rights, () => named(xattr.name, () => posix.setXattrAt(dirFd, name, xattr)))
  }
  if (!entry.symlink) attempt(problems, 'mode', rights, () => posix.fchmodat(dirFd, name, metadata.mode))
  attempt(problems, 'time', rights, () => posix.utimensat(dirFd, name, metadata.atimeNs, metadata.mtimeNs))
  return problems
}

function changeOwner(fd: number, { uid, gid }: Metadata, rights: Rights): void {
  // also where it seems to be right already: a set-group-id directory gives its files another group
  try {
    fchownSync(fd, uid, gid)
  } catch (error) {
    // a group we are in can be set without being root; then only the user is missing
    if (rights.uid !== 0 && uid !== rights.uid) tryGroup(fd, gid)
    throw error
  }
}

function tryGroup(fd: number, gid: number): void {
  try {
    fchownSync(fd, -1, gid)
  } catch {
    // the problem is reported by the attempt on user and group together
  }
}

function removeOtherXattrs(posix: Posix, fd: number, wanted: readonly Xattr[]): void {
  const names = new Set(wanted.map(({ name }) => name))
  for (const name of posix.flistXattrs(fd)) {
    // labels are given by the system's policy, not by the backup
    if (!names.has(name) && name !== 'security.selinux') posix.fremoveXattr(fd, name)
  }
}

/** The system's message does not say which attribute it was. */
function named(name: string, set: () => void): void {
  try {
    set()
  } catch (error) {
    if (error instanceof Error) error.message = `${name}: ${error.message}`
    throw error
  }
}

const WITHOUT_RIGHTS = new Set(['EPERM', 'EACCES', 'EINVAL'])
const WITHOUT_SUPPORT = new Set(['EPERM', 'EACCES', 'ENOTSUP', 'ENODATA'])

function attempt(
  problems: MetadataProblem[],
  what: MetadataProblem['what'],
  rights: Rights,
  set: () => void,
): boolean {
  try {
    set()
    return true
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    const lenient =
      what === 'xattr' ? WITHOUT_SUPPORT.has(code) : rights.uid !== 0 && WITHOUT_RIGHTS.has(code)
    problems.push({ what, lenient, message: error instanceof Error ? error.message : String(error) })
    return false
  }
}
