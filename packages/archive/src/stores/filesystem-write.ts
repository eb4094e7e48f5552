import { randomBytes } from 'node:crypto'
import { closeSync, fchmodSync, fsync, mkdirSync, openSync, rename, unlinkSync, writeSync } from 'node:fs'
import { type FileHandle, link, open, rename as renameAsync, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Hex } from '../format/ids.ts'
import { errnoOf, filesystemError } from './filesystem-error.ts'
import { filesystemPath } from './filesystem-path.ts'

/** Between the final name and the random part of a temporary name; restic's own marker, so either tool's sweep knows both. */
export const temporaryMarker = '-tmp-'

/**
 * Writes `body` to `path`: temporary file in the same directory, fsync, rename (or link, when
 * `exclusive`), fsync of the directory. Throws the bare errno error; ENOENT means the directory is
 * missing, and EEXIST, only with `exclusive`, that the name is taken. No temporary file stays behind
 * unless the process dies.
 */
export async function writeFileAtomically(
  path: string,
  body: Uint8Array,
  options: { readonly mode: number; readonly exclusive: boolean },
): Promise<void> {
  const temporary = temporaryPath(path)
  const handle = await open(temporary, 'wx', 0o600)
  try {
    try {
      await writeAll(handle, body)
      await ignoring(handle.chmod(options.mode), chmodUnsupported)
      await ignoring(handle.sync(), syncUnsupported)
    } finally {
      await handle.close()
    }
    if (options.exclusive) await claimName(temporary, path)
    else await renameAsync(temporary, path)
  } catch (error) {
    await ignoring(unlink(temporary), ['ENOENT', 'EROFS', 'EIO'])
    throw error
  }
  await syncDirectory(dirname(path))
}

/** Makes the names in a directory durable. File systems that cannot sync a directory are let be, as restic does. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await ignoring(handle.sync(), syncUnsupported)
  } finally {
    await handle.close()
  }
}

/** A pack whose bytes are in the page cache under a temporary name, and not yet part of the repository. */
export interface PendingPack {
  readonly id: Hex
  /** fsync, rename to `data/xx/<id>`, fsync of the directory. The pack is durable when it resolves. Call once. */
  commit(): Promise<void>
  /** Drops the temporary file instead. */
  discard(): void
}

/**
 * Writes a pack synchronously, for backup workers: when it returns, `body` may be reused, and `commit`
 * makes the pack durable without blocking the thread. Throws the store's errors (`filesystemError`);
 * on failure nothing stays behind. `mode` is 0o440 in a repository shared with its group.
 */
export function savePackSync(directory: string, id: Hex, body: Uint8Array, mode = 0o400): PendingPack {
  const path = filesystemPath(directory, { type: 'pack', id })
  const temporary = temporaryPath(path)
  const fd = openTemporary(temporary)
  const drop = (): void => {
    closeSync(fd)
    unlinkSync(temporary)
  }
  try {
    for (let done = 0; done < body.length; ) done += writeSync(fd, body, done, body.length - done)
    fchmodSync(fd, mode)
  } catch (error) {
    drop()
    throw filesystemError(error, 'write', temporary)
  }
  return { id, commit: () => commitPack(fd, temporary, path), discard: drop }
}

const fsyncAsync = promisify(fsync)
const renameByName = promisify(rename)

async function commitPack(fd: number, temporary: string, path: string): Promise<void> {
  try {
    try {
      await ignoring(fsyncAsync(fd), syncUnsupported)
    } finally {
      closeSync(fd)
    }
    await renameByName(temporary, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await ignoring(unlink(temporary), ['ENOENT', 'EROFS', 'EIO'])
    throw filesystemError(error, 'store', path)
  }
}

function temporaryPath(path: string): string {
  return `${path}${temporaryMarker}${process.pid}-${randomBytes(6).toString('hex')}`
}

async function writeAll(handle: FileHandle, body: Uint8Array): Promise<void> {
  for (let done = 0; done < body.length; ) {
    done += (await handle.write(body, done, body.length - done)).bytesWritten
  }
}

/**
 * Gives the file its name only if nobody has it. Without hard links (FAT, some network mounts) the
 * caller's own look just before has to do: a placeholder would be left empty by a crash.
 */
async function claimName(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path)
  } catch (error) {
    if (!linkUnsupported.includes(errnoOf(error) ?? '')) throw error
    await renameAsync(temporary, path)
    return
  }
  await unlink(temporary)
}

const syncUnsupported: readonly string[] = ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOTTY', 'ENOSYS']
const chmodUnsupported: readonly string[] = ['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']
const linkUnsupported: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

async function ignoring(work: Promise<unknown>, errnos: readonly string[]): Promise<void> {
  try {
    await work
  } catch (error) {
    if (!errnos.includes(errnoOf(error) ?? '')) throw error
  }
}

function openTemporary(temporary: string): number {
  try {
    try {
      return openSync(temporary, 'wx', 0o600)
    } catch (error) {
      // A shard that another tool never made. Not recursive: without `data` this is no repository.
      if (errnoOf(error) !== 'ENOENT') throw error
      mkdirSync(dirname(temporary), { mode: 0o700 })
      return openSync(temporary, 'wx', 0o600)
    }
  } catch (error) {
    throw filesystemError(error, 'write', temporary)
  }
}
