import { readFileSync, statSync } from 'node:fs'
import { nameFromBytes } from '../format/byte-name.ts'
import { type Directory, openDirectoryService } from './directory-service.ts'

/** Names of users and groups of this machine, and the way back. */
export interface Accounts {
  /** The name of a user id, `''` when no account has it. The first line wins, as in getpwuid(3). */
  userName(uid: number): string
  groupName(gid: number): string
  /** The id of a user name; undefined when there is none. */
  userId(name: string): number | undefined
  groupId(name: string): number | undefined
}

export interface AccountsOptions {
  /** Defaults to `/etc/passwd` and `/etc/group`. Files that cannot be read count as empty. */
  readonly passwdPath?: string
  readonly groupPath?: string
  /** Milliseconds from any fixed point; by default the process's monotonic clock. */
  readonly now?: () => number
  /** How long an answer may be older than the files, in milliseconds. Default 1000: a call per file must not stat. */
  readonly recheckMs?: number
  /**
   * Whether accounts the files lack are asked of the C library (LDAP, sssd, systemd). Default true. Answers are
   * kept as long as the file is unchanged, absent ones too, because a directory service can take milliseconds.
   */
  readonly directoryService?: boolean
}

/** Opens the account databases; reads nothing yet. No call throws for an unknown account or an unreadable file. */
export function openAccounts(options: AccountsOptions = {}): Accounts {
  const now = options.now ?? (() => performance.now())
  const recheckMs = options.recheckMs ?? 1000
  const service = options.directoryService === false ? undefined : openDirectoryService()
  const users = openTable({ path: options.passwdPath ?? '/etc/passwd', now, recheckMs, more: service?.users })
  const groups = openTable({ path: options.groupPath ?? '/etc/group', now, recheckMs, more: service?.groups })
  return {
    userName: users.name,
    groupName: groups.name,
    userId: users.id,
    groupId: groups.id,
  }
}

interface Table {
  readonly name: (id: number) => string
  readonly id: (name: string) => number | undefined
}

interface TableOptions {
  readonly path: string
  readonly now: () => number
  readonly recheckMs: number
  readonly more: Directory | undefined
}

function openTable({ path, now, recheckMs, more }: TableOptions): Table {
  let names = new Map<number, string>()
  let ids = new Map<string, number | undefined>()
  let version: string | undefined
  let checkedAt = Number.NEGATIVE_INFINITY
  const refresh = (): void => {
    const time = now()
    if (time - checkedAt < recheckMs) return
    checkedAt = time
    const found = fileVersion(path)
    if (found === version) return
    version = found
    const read = readAccounts(path)
    names = read.names
    ids = read.ids
  }
  return {
    name: (id) => {
      refresh()
      const known = names.get(id)
      if (known !== undefined) return known
      const asked = more?.name(id) ?? ''
      names.set(id, asked)
      return asked
    },
    id: (name) => {
      refresh()
      if (name === '') return undefined
      if (ids.has(name)) return ids.get(name)
      const asked = more?.id(name)
      ids.set(name, asked)
      return asked
    },
  }
}

function fileVersion(path: string): string {
  const status = statSync(path, { bigint: true, throwIfNoEntry: false })
  return status === undefined ? '' : `${status.dev}:${status.ino}:${status.size}:${status.mtimeNs}`
}

function readAccounts(path: string): { names: Map<number, string>; ids: Map<string, number | undefined> } {
  const names = new Map<number, string>()
  const ids = new Map<string, number | undefined>()
  for (const line of readLines(path)) {
    // name:password:id:... in both files. Lines starting with + or - are NIS directives, not accounts.
    const [name = '', , digits = ''] = line.split(':')
    if (name === '' || /^[+\-#]/.test(name) || !/^\d{1,10}$/.test(digits)) continue
    const id = Number(digits)
    if (!names.has(id)) names.set(id, name)
    if (!ids.has(name)) ids.set(name, id)
  }
  return { names, ids }
}

function readLines(path: string): readonly string[] {
  try {
    return nameFromBytes(readFileSync(path)).split('\n')
  } catch {
    return []
  }
}
