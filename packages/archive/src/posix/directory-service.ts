import { allocateCString } from './c-string.ts'
import { type Libc, openLibc } from './libc.ts'

/** Accounts beyond the local files, as the C library's name service knows them. */
export interface Directory {
  name(id: number): string | undefined
  id(name: string): number | undefined
}

const STRINGS = 65536
// struct passwd is 48 bytes and struct group 32; both begin with the address of the name, and the id follows the
// address of the password, on every 64-bit Linux.
const ENTRY = 64
const ID_OFFSET = 16

/** The name service of this process; undefined where the C library cannot be called. */
export function openDirectoryService():
  | { readonly users: Directory; readonly groups: Directory }
  | undefined {
  let libc: Libc
  try {
    libc = openLibc()
  } catch {
    return undefined
  }
  return {
    users: openDirectory(libc, libc.getpwuid, libc.getpwnam),
    groups: openDirectory(libc, libc.getgrgid, libc.getgrnam),
  }
}

function openDirectory(libc: Libc, byId: Libc['getpwuid'], byName: Libc['getpwnam']): Directory {
  const nameString = allocateCString()
  const entry = Buffer.alloc(ENTRY)
  const strings = Buffer.allocUnsafeSlow(STRINGS)
  const found = new BigUint64Array(1)
  // Any failure (not found, service down, an entry beyond 64 KiB) means: no answer.
  const isFound = (error: number): boolean => error === 0 && found[0] !== 0n
  return {
    name: (id) => {
      if (!isFound(byId(id, entry, strings, STRINGS, found))) return undefined
      return libc.stringAt(entry.readBigUInt64LE(0))
    },
    id: (name) => {
      if (name.includes('\0') || name.length > 255) return undefined
      if (!isFound(byName(nameString.text(name, 'getpwnam'), entry, strings, STRINGS, found)))
        return undefined
      return entry.readUInt32LE(ID_OFFSET)
    },
  }
}
