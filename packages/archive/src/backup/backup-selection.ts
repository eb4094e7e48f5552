import type { DirectoryEntry } from './list-directory.ts'

/** What of a directory is backed up. */
export interface BackupSelection {
  /** Directories on another file system than their target are stored empty. */
  readonly oneFileSystem: boolean
  /** The entries to store, in the order given. `directory` is absolute. */
  select(directory: string, entries: readonly DirectoryEntry[]): readonly DirectoryEntry[]
}

/** Everything. */
export const everything: BackupSelection = { oneFileSystem: false, select: (_, entries) => entries }
