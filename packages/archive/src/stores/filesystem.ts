import { constants } from 'node:fs'
import { mkdir, open, readdir, stat, unlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import type { BlobStore, ByteRange, FileName, FileType, ListedFile } from './blob-store.ts'
import { rangeWithin, shortFile } from './check-range.ts'
import { notFound, settleExisting } from './existing-file.ts'
import { errnoOf, filesystemError } from './filesystem-error.ts'
import { filesystemPath } from './filesystem-path.ts'
import { syncDirectory, writeFileAtomically } from './filesystem-write.ts'
import { idOfPath, layoutDirectories, layoutDirectory, layoutPath } from './layout.ts'

/**
 * A repository in a local directory, in restic's layout. Files are 0400 and directories 0700, or 0440
 * and 0770 when the config can be read by its group, as restic has it. Nothing is touched on opening.
 *
 * An absent base directory is told from an empty one: while it is absent (a disk that is not mounted)
 * every call but `create` fails, and directories are never made below it by a save.
 */
export function openFilesystemStore(directory: string): BlobStore {
  const root = resolve(directory)
  return {
    location: root,
    connections: 4,
    localDirectory: root,
    create: () => createLayout(root),
    save: (file, body) => saveFile(root, file, body),
    load: (file, range) => loadFile(root, file, range),
    stat: (file) => statFile(root, file),
    list: (type) => listFiles(root, type),
    remove: (file) => removeFile(root, file),
    async [Symbol.asyncDispose]() {},
  }
}

async function createLayout(root: string): Promise<void> {
  const modes = await modesOf(root)
  try {
    await mkdir(root, { recursive: true, mode: modes.directory })
    for (const directory of layoutDirectories()) await makeDirectory(join(root, directory), modes.directory)
    await syncDirectory(join(root, 'data'))
    await syncDirectory(root)
    // The parent may be somebody else's and unreadable; then the new name is as durable as they made it.
    await syncDirectory(dirname(root)).catch(() => undefined)
  } catch (error) {
    throw filesystemError(error, 'make the repository directories in', root)
  }
}

async function saveFile(root: string, file: FileName, body: Uint8Array): Promise<void> {
  const path = filesystemPath(root, file)
  try {
    const existing = await sizeOf(path)
    if (existing !== undefined) {
      settleExisting(file, existing, body.length, root)
      await syncDirectory(dirname(path))
      return
    }
    const modes = await modesOf(root)
    const options = { mode: modes.file, exclusive: file.type === 'config' }
    try {
      await writeFileAtomically(path, body, options)
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') settleExisting(file, -1, body.length, root)
      if (errnoOf(error) !== 'ENOENT') throw error
      await makeMissingDirectory(root, file, modes.directory)
      await writeFileAtomically(path, body, options)
    }
  } catch (error) {
    throw filesystemError(error, 'write', path)
  }
}

async function loadFile(root: string, file: FileName, range: ByteRange | undefined): Promise<Buffer> {
  if (range?.length === 0) return Buffer.alloc(0)
  const path = filesystemPath(root, file)
  try {
    // O_NONBLOCK: a FIFO planted under a file's name must not hang the reader.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const found = await handle.stat()
      if (!found.isFile()) throw notRegular(path)
      const part = rangeWithin(file, found.size, range)
      const bytes = Buffer.allocUnsafe(part.length)
      for (let done = 0; done < part.length; ) {
        const { bytesRead } = await handle.read(bytes, done, part.length - done, part.offset + done)
        if (bytesRead === 0) throw shortFile(file, part.offset + done, part)
        done += bytesRead
      }
      return bytes
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw await absent(root, file)
    throw filesystemError(error, 'read', path)
  }
}

async function statFile(root: string, file: FileName): Promise<{ readonly size: number }> {
  const path = filesystemPath(root, file)
  const size = await sizeOf(path)
  if (size === undefined) throw await absent(root, file)
  return { size }
}

async function removeFile(root: string, file: FileName): Promise<void> {
  const path = filesystemPath(root, file)
  try {
    await unlink(path)
    await syncDirectory(dirname(path))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw filesystemError(error, 'remove', path)
    await requireBase(root)
  }
}

async function* listFiles(root: string, type: FileType): AsyncIterable<ListedFile> {
  await requireBase(root)
  if (type === 'config') {
    const size = await sizeOf(join(root, 'config'))
    if (size !== undefined) yield { id: '', size }
    return
  }
  const directory = join(root, layoutDirectory(type))
  if (type !== 'pack') {
    yield* listDirectory(directory, (name) => idOfPath(type, name))
    return
  }
  for (const shard of await namesIn(directory)) {
    if (!/^[0-9a-f]{2}$/.test(shard)) continue
    yield* listDirectory(join(directory, shard), (name) => idOfPath(type, `${shard}/${name}`))
  }
}

/** How many files of one directory are asked for their size at once. */
const statsAtOnce = 64

async function* listDirectory(
  directory: string,
  idOf: (name: string) => string | undefined,
): AsyncIterable<ListedFile> {
  const ids = (await namesIn(directory)).filter((name) => idOf(name) !== undefined)
  for (let i = 0; i < ids.length; i += statsAtOnce) {
    const batch = ids.slice(i, i + statsAtOnce)
    const sizes = await Promise.all(batch.map((id) => sizeOf(join(directory, id), 'ignore')))
    for (const [j, id] of batch.entries()) {
      const size = sizes[j]
      if (size !== undefined) yield { id, size }
    }
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    // A missing directory of a repository that is there is an empty one; a file in its place is foreign.
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return []
    throw filesystemError(error, 'list', directory)
  }
}

/** Undefined when there is nothing; what is not a regular file is an error, or nothing when listing. */
async function sizeOf(path: string, foreign: 'refuse' | 'ignore' = 'refuse'): Promise<number | undefined> {
  try {
    const found = await stat(path)
    if (found.isFile()) return found.size
    if (foreign === 'ignore') return undefined
    throw notRegular(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw filesystemError(error, 'look at', path)
  }
}

function notRegular(path: string): HoldfastError {
  return new HoldfastError('Damaged', 'A regular file was expected, something else is there.', {
    place: path,
    guidance: 'Move it out of the repository.',
  })
}

async function requireBase(root: string): Promise<void> {
  try {
    if ((await stat(root)).isDirectory()) return
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw noBase(root)
    throw filesystemError(error, 'look at', root)
  }
  throw new HoldfastError('StoreRefused', `A directory was expected at ${root}, a file is there.`, {
    place: root,
    guidance: 'Check the location.',
  })
}

function noBase(root: string): HoldfastError {
  return new HoldfastError('StoreUnavailable', `The directory ${root} does not exist.`, {
    place: root,
    guidance: 'Check the location, and that the disk it is on is mounted.',
  })
}

/** Says which is missing: the whole directory, the repository in it, or this one file. */
async function absent(root: string, file: FileName): Promise<HoldfastError> {
  if ((await sizeOf(join(root, 'config'))) !== undefined) {
    return notFound(file, `There is no ${layoutPath(file)} in the repository at ${root}.`)
  }
  const isThere = await requireBase(root).then(
    () => true,
    () => false,
  )
  if (!isThere && file.type !== 'config') return noBase(root)
  const why = isThere
    ? `is there, but holds no repository: it has no ${layoutPath({ type: 'config', id: '' })}`
    : 'does not exist'
  return notFound(file, `The directory ${root} ${why}.`)
}

/**
 * A shard of `data` can be missing (made by another tool, or lost); it is made again, but only inside
 * a repository: below an empty mount point it would put the backup on the wrong disk.
 */
async function makeMissingDirectory(root: string, file: FileName, mode: number): Promise<void> {
  if ((await sizeOf(join(root, 'config'))) === undefined) {
    await requireBase(root)
    throw new HoldfastError('StoreUnavailable', `The directory ${root} holds no repository.`, {
      place: root,
      guidance: 'Check the location, and that the disk it is on is mounted; make a repository with init.',
    })
  }
  const parts = dirname(layoutPath(file)).split('/')
  for (const [i] of parts.entries()) {
    const directory = join(root, ...parts.slice(0, i + 1))
    await makeDirectory(directory, mode)
    await syncDirectory(dirname(directory))
  }
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}

async function modesOf(root: string): Promise<{ readonly file: number; readonly directory: number }> {
  try {
    const shared = ((await stat(join(root, 'config'))).mode & 0o040) !== 0
    return shared ? { file: 0o440, directory: 0o770 } : { file: 0o400, directory: 0o700 }
  } catch {
    return { file: 0o400, directory: 0o700 }
  }
}
