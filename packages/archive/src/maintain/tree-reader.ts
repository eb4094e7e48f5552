import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import { decodeTree, type TreeNode } from '../format/tree.ts'
import type { BlobIndex, BlobLocation } from '../repository/blob-index.ts'
import { MAX_BLOB_BYTES, openBlob, type Repository } from '../repository/repository.ts'

/** Reads trees for whoever walks many of them: pieces of packs are kept, so one request serves many trees. */
export interface TreeReader {
  /** Hash-checked and decoded; tries every copy. Throws NotFound, Damaged or a store's error. */
  load(id: Hex): Promise<readonly TreeNode[]>
}

const pieceBytes = 1024 * 1024
const keptPieces = 48

/** Trees are small and those of one backup lie side by side: at most 48 MiB of pieces are held. */
export function openTreeReader(repo: Repository, index: BlobIndex = repo.index): TreeReader {
  const pieces = new Map<string, Promise<Buffer>>()
  const piece = (packId: Hex, number: number, length: number): Promise<Buffer> => {
    const key = `${packId}:${number}`
    const kept =
      pieces.get(key) ??
      repo.store.load({ type: 'pack', id: packId }, { offset: number * pieceBytes, length })
    pieces.delete(key)
    pieces.set(key, kept)
    kept.catch(() => pieces.delete(key))
    const oldest = pieces.keys().next().value
    if (pieces.size > keptPieces && oldest !== undefined) {
      pieces.delete(oldest)
    }
    return kept
  }
  const packEnds = new Map<Hex, number>()
  const endOf = (packId: Hex): number => {
    const known = packEnds.get(packId)
    if (known !== undefined) {
      return known
    }
    const last = index.packBlobs(packId).at(-1)
    const end = last === undefined ? 0 : last.offset + last.length
    packEnds.set(packId, end)
    return end
  }
  const read = async ({ packId, offset, length }: BlobLocation): Promise<Buffer> => {
    if (length > 2 * pieceBytes) {
      return await repo.store.load({ type: 'pack', id: packId }, { offset, length })
    }
    const end = endOf(packId)
    const first = Math.floor(offset / pieceBytes)
    const last = Math.floor((offset + length - 1) / pieceBytes)
    const parts: Buffer[] = []
    for (let number = first; number <= last; number += 1) {
      parts.push(await piece(packId, number, Math.min(pieceBytes, end - number * pieceBytes)))
    }
    const joined = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
    return joined.subarray(offset - first * pieceBytes, offset - first * pieceBytes + length)
  }
  return {
    async load(id) {
      let failure: unknown
      for (const copy of index.find('tree', id)) {
        try {
          return await open(repo, id, copy, read)
        } catch (error) {
          failure ??= error
        }
      }
      throw failure ?? notInIndex(id)
    },
  }
}

async function open(
  repo: Repository,
  id: Hex,
  copy: BlobLocation,
  read: (copy: BlobLocation) => Promise<Buffer>,
): Promise<readonly TreeNode[]> {
  const place = `pack/${copy.packId} at offset ${copy.offset}, tree ${id}`
  if (copy.length > MAX_BLOB_BYTES) {
    throw new HoldfastError(
      'LimitExceeded',
      `the tree is stored in ${copy.length} bytes; at most ${MAX_BLOB_BYTES} are read`,
      { place },
    )
  }
  // A pack that is shorter than the index says fails a whole piece; the blob itself may still be there.
  const sealed = await read(copy).catch(async (error: unknown) => {
    if (!isHoldfastError(error, 'Damaged')) {
      throw error
    }
    return await repo.store.load(
      { type: 'pack', id: copy.packId },
      { offset: copy.offset, length: copy.length },
    )
  })
  const plain = openBlob(repo, sealed, { id, place, uncompressedLength: copy.uncompressedLength })
  return decodeTree(plain, `tree ${id}`)
}

function notInIndex(id: Hex): HoldfastError {
  return new HoldfastError('NotFound', `tree ${id} is in no index`, {
    place: `tree ${id}`,
    guidance: 'Run repair index; if the tree stays missing, repair snapshots.',
  })
}
