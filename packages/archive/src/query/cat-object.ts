import { HoldfastError } from '@holdfast/contract'
import { encodeConfig } from '../format/config.ts'
import { type Hex, sha256Hex } from '../format/ids.ts'
import { encodeMasterKey } from '../format/key-file.ts'
import { findSnapshot } from '../repository/load-snapshots.ts'
import type { Repository } from '../repository/repository.ts'
import type { FileType } from '../stores/blob-store.ts'
import { resolveTree } from './resolve-tree.ts'

export type CatKind =
  | 'config'
  | 'masterkey'
  | 'index'
  | 'snapshot'
  | 'key'
  | 'lock'
  | 'pack'
  | 'blob'
  | 'tree'

export interface CatOptions {
  readonly kind: CatKind
  /** An id or the beginning of one; for `tree` a snapshot with an optional subfolder; '' for config and masterkey. */
  readonly id: string
}

export interface CatResult {
  readonly bytes: Buffer
  /** JSON to print as a line; otherwise bytes to write as they are. */
  readonly isText: boolean
  /** Something is wrong with what is shown. */
  readonly warning: string | undefined
}

/**
 * One object of the repository, opened, as restic's `cat` prints it. `blob` and `tree` need loadIndex.
 * `masterkey` is the secret that opens everything.
 */
export async function catObject(repository: Repository, { kind, id }: CatOptions): Promise<CatResult> {
  switch (kind) {
    case 'config':
      return indented(encodeConfig(repository.config))
    case 'masterkey':
      return indented(encodeMasterKey(repository.masterKey))
    case 'index':
      return text(await repository.loadUnpacked('index', await fullId(repository, 'index', id)))
    case 'snapshot':
      return indented(await repository.loadUnpacked('snapshot', (await findSnapshot(repository, id)).id))
    case 'lock':
      return indented(await repository.loadUnpacked('lock', await fullId(repository, 'lock', id)))
    case 'key':
      return indented(await repository.store.load({ type: 'key', id: await fullId(repository, 'key', id) }))
    case 'pack':
      return await catPack(repository, await fullId(repository, 'pack', id))
    case 'blob':
      return raw(await loadEitherBlob(repository, id))
    case 'tree':
      return raw(await repository.loadBlob('tree', (await resolveTree(repository, id)).tree))
  }
}

async function catPack(repository: Repository, id: Hex): Promise<CatResult> {
  const bytes = await repository.store.load({ type: 'pack', id })
  const hash = sha256Hex(bytes)
  return { ...raw(bytes), warning: hash === id ? undefined : `pack ${id} hashes to ${hash}: it is damaged` }
}

async function loadEitherBlob(repository: Repository, id: string): Promise<Buffer> {
  for (const type of ['data', 'tree'] as const) {
    if (/^[0-9a-f]{64}$/.test(id) && repository.index.has(type, id))
      return await repository.loadBlob(type, id)
  }
  throw new HoldfastError('NotFound', `no index knows a blob "${id}"`, {
    guidance: 'Give its full id, 64 hex digits.',
  })
}

async function fullId(repository: Repository, type: FileType, ref: string): Promise<Hex> {
  if (!/^[0-9a-f]{1,64}$/.test(ref))
    throw new HoldfastError('InvalidInput', `"${ref}" is not the id of a ${type}`)
  if (ref.length === 64) return ref
  const found = (await repository.listFiles(type)).filter(({ id }) => id.startsWith(ref))
  const [only] = found
  if (only === undefined) throw new HoldfastError('NotFound', `no ${type} has an id beginning with ${ref}`)
  if (found.length > 1)
    throw new HoldfastError('Ambiguous', `${found.length} of type ${type} have ids beginning with ${ref}`)
  return only.id
}

function indented(json: Uint8Array): CatResult {
  const value: unknown = JSON.parse(Buffer.from(json).toString('utf8'))
  const pretty = JSON.stringify(value, undefined, 2).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return text(Buffer.from(pretty))
}

function text(bytes: Buffer): CatResult {
  const end = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length
  return { bytes: bytes.subarray(0, end), isText: true, warning: undefined }
}

function raw(bytes: Buffer): CatResult {
  return { bytes, isText: false, warning: undefined }
}
