import { HoldfastError } from '@holdfast/contract'
import { type Hex, isHex } from '../format/ids.ts'
import type { FileName, FileType } from './blob-store.ts'

/** The directory of each type in restic's default layout, as on disk and in a bucket. */
const directories = {
  key: 'keys',
  lock: 'locks',
  snapshot: 'snapshots',
  index: 'index',
  pack: 'data',
} as const

/** Every directory of the layout below the repository, in an order in which they can be made. */
export function layoutDirectories(): readonly string[] {
  const shards = Array.from({ length: 256 }, (_, i) => `data/${i.toString(16).padStart(2, '0')}`)
  return [...Object.values(directories), ...shards]
}

/** The directory of a type that has one: all but `config`. */
export function layoutDirectory(type: Exclude<FileType, 'config'>): string {
  return directories[type]
}

/**
 * The path of a file below the repository: `config`, `keys/<id>`, `data/<first two digits>/<id>`.
 * Throws `Internal` for an id that is not 64 hex digits, so no name can climb out of the repository.
 */
export function layoutPath(file: FileName): string {
  if (file.type === 'config') return 'config'
  if (!isHex(file.id)) {
    throw new HoldfastError(
      'Internal',
      `The name of a ${file.type} must be 64 hex digits, found ${JSON.stringify(file.id)}.`,
    )
  }
  return file.type === 'pack'
    ? `data/${file.id.slice(0, 2)}/${file.id}`
    : `${directories[file.type]}/${file.id}`
}

/** The id in a path below a type's directory (`<id>`, or `xx/<id>` for packs), or undefined if it is not of the layout. */
export function idOfPath(type: Exclude<FileType, 'config'>, path: string): Hex | undefined {
  if (type !== 'pack') return isHex(path) ? path : undefined
  const id = path.slice(3)
  return path[2] === '/' && isHex(id) && id.startsWith(path.slice(0, 2)) ? id : undefined
}
