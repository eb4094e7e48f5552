import { readdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, filesystemError } from './filesystem-error.ts'
import { temporaryMarker } from './filesystem-write.ts'
import { layoutDirectories } from './layout.ts'

/** A temporary file that was removed, with its size in bytes. */
export interface SweptFile {
  readonly path: string
  readonly size: number
}

/**
 * Removes what crashed writers left: files named `<id>-tmp-...` in the repository's directories (and
 * `config-tmp-...`) that have not been written to for `olderThanMs`. Listings ignore such files, so
 * this only wins space back. Even a misjudged sweep harms nothing: a writer whose temporary file is
 * gone fails at its rename and writes again; a day is a safe age. `now` is in ms since the epoch.
 */
export async function sweepAbandonedFiles(
  directory: string,
  options: { readonly now: number; readonly olderThanMs: number },
): Promise<readonly SweptFile[]> {
  const swept: SweptFile[] = []
  for (const part of ['.', ...layoutDirectories()]) {
    const place = join(directory, part)
    for (const name of await namesIn(place)) {
      if (!temporaryName.test(name)) continue
      const size = await removeIfOld(join(place, name), options.now - options.olderThanMs)
      if (size !== undefined) swept.push({ path: join(place, name), size })
    }
  }
  return swept
}

const temporaryName = new RegExp(`^([0-9a-f]{64}|config)${temporaryMarker}[0-9a-z-]+$`)

async function removeIfOld(path: string, before: number): Promise<number | undefined> {
  try {
    const found = await stat(path)
    if (!found.isFile() || found.mtimeMs > before) return undefined
    await unlink(path)
    return found.size
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw filesystemError(error, 'remove', path)
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw filesystemError(error, 'list', directory)
  }
}
