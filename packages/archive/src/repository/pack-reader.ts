import { closeSync, openSync, readSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { errnoOf, filesystemError } from '../stores/filesystem-error.ts'
import { filesystemPath } from '../stores/filesystem-path.ts'

/** Pack files kept open; trees lie close together in few packs. */
const MAX_OPEN = 16

/** Reads parts of packs: from the store, or, where it is a local directory, from files kept open. */
export interface PackReader {
  /** Exactly `length` bytes from `offset`, in memory of their own. */
  read(packId: Hex, offset: number, length: number): Promise<Buffer>
  close(): void
}

export function openPackReader(store: BlobStore): PackReader {
  const directory = store.localDirectory
  if (directory === undefined) {
    return {
      read: async (packId, offset, length) =>
        await store.load({ type: 'pack', id: packId }, { offset, length }),
      close: () => undefined,
    }
  }
  const open = new Map<Hex, number>()
  const descriptor = (packId: Hex): number => {
    const known = open.get(packId)
    if (known !== undefined) return known
    const [oldest] = open
    if (oldest !== undefined && open.size >= MAX_OPEN) {
      closeSync(oldest[1])
      open.delete(oldest[0])
    }
    const fd = openSync(filesystemPath(directory, { type: 'pack', id: packId }), 'r')
    open.set(packId, fd)
    return fd
  }
  return {
    async read(packId, offset, length) {
      const bytes = Buffer.allocUnsafeSlow(length)
      const count = readFully({ descriptor, directory }, packId, { bytes, offset })
      if (count === length) return bytes
      // the store can tell a pack that is gone from a repository that is
      if (count === undefined) return await store.load({ type: 'pack', id: packId }, { offset, length })
      throw new HoldfastError('Damaged', `pack ${packId} ends before offset ${offset + length}`, {
        place: `pack ${packId}, offset ${offset}`,
      })
    },
    close() {
      for (const fd of open.values()) closeSync(fd)
      open.clear()
    },
  }
}

/** The bytes read, or undefined when there is no such pack. */
function readFully(
  local: { readonly descriptor: (packId: Hex) => number; readonly directory: string },
  packId: Hex,
  into: { readonly bytes: Buffer; readonly offset: number },
): number | undefined {
  const { bytes, offset } = into
  try {
    const fd = local.descriptor(packId)
    let done = 0
    for (let count = -1; count !== 0 && done < bytes.length; done += count) {
      count = readSync(fd, bytes, done, bytes.length - done, offset + done)
    }
    return done
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw filesystemError(error, 'read', filesystemPath(local.directory, { type: 'pack', id: packId }))
  }
}
