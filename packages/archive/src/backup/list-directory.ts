import { type Dirent, readdirSync } from 'node:fs'
import { compareNames, nameFromBytes } from '../format/byte-name.ts'
import { fsPath } from './stat-node.ts'

export interface DirectoryEntry {
  readonly name: string
  /** `d` directory, `f` regular file, `?` anything else or not told by the file system. */
  readonly kind: 'd' | 'f' | '?'
}

/** Entries of a directory in the order in which a tree stores them: by the bytes of their names. */
export function listDirectory(path: string): DirectoryEntry[] {
  const location = fsPath(path)
  let entries = readdirSync(location, { withFileTypes: true }).map((e) => entryOf(e.name, e))
  // node decodes names and loses what is not UTF-8; then, rarely, they are read once more as bytes
  if (entries.some((entry) => entry.name.includes('\ufffd'))) {
    entries = readdirSync(location, { withFileTypes: true, encoding: 'buffer' }).map((e) =>
      entryOf(nameFromBytes(e.name), e),
    )
  }
  return entries.sort((a, b) => compareNames(a.name, b.name))
}

function entryOf(name: string, entry: Pick<Dirent, 'isDirectory' | 'isFile'>): DirectoryEntry {
  return { name, kind: entry.isDirectory() ? 'd' : entry.isFile() ? 'f' : '?' }
}
