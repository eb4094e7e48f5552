import type { Hex } from '../format/ids.ts'
import { decodeIndexFile, encodeIndexFile, type IndexPack } from '../format/index-file.ts'
import type { BlobIndex } from '../repository/blob-index.ts'
import { mapConcurrently } from '../repository/map-concurrently.ts'
import type { Repository } from '../repository/repository.ts'

/** restic closes an index file at this many blobs. */
export const blobsPerIndexFile = 50_000
/** Beyond this an index file is split when it comes by: it would not be read in bounded memory. */
const oversizedIndexFile = 200_000

export interface RewriteIndexes {
  /** Readable index files to go through. */
  readonly indexFiles: readonly Hex[]
  /** What those files say together: a pack that one of them knows only in part is written whole. */
  readonly index: BlobIndex
  readonly removePacks: ReadonlySet<Hex>
  /** Packs that are in none of the files yet, or that were read anew: a pack may also be in `removePacks`. */
  readonly addPacks?: readonly IndexPack[]
  /** Index files to delete besides, for example unreadable ones. */
  readonly obsolete?: readonly Hex[]
  /** Asked before every change. */
  readonly beforeStep?: () => void
}

export interface RewrittenIndexes {
  readonly written: readonly Hex[]
  readonly removed: readonly Hex[]
}

/**
 * Takes packs out of the index, and others in: files that change, and files that are not full, are merged into
 * new ones; only when all new ones are stored the old ones are deleted. At any moment in between the index
 * files together know every pack that stays. Each pack ends in exactly one index file.
 */
export async function rewriteIndexes(repo: Repository, plan: RewriteIndexes): Promise<RewrittenIndexes> {
  const written: Hex[] = []
  const obsolete = [...(plan.obsolete ?? [])]
  const emitted = new Set<Hex>()
  let pending: IndexPack[] = []
  let pendingBlobs = 0
  const save = async (): Promise<void> => {
    if (pending.length > 0) {
      plan.beforeStep?.()
      written.push(await repo.saveUnpacked('index', encodeIndexFile({ supersedes: [], packs: pending })))
    }
    pending = []
    pendingBlobs = 0
  }
  const emit = async (pack: IndexPack): Promise<void> => {
    if (emitted.has(pack.id) || pack.blobs.length === 0) {
      return
    }
    emitted.add(pack.id)
    if (pendingBlobs > 0 && pendingBlobs + pack.blobs.length > blobsPerIndexFile + blobsPerIndexFile / 2) {
      await save()
    }
    pending.push(pack)
    pendingBlobs += pack.blobs.length
    if (pendingBlobs >= blobsPerIndexFile) {
      await save()
    }
  }
  for (const id of plan.indexFiles) {
    const packs = decodeIndexFile(await repo.loadUnpacked('index', id), `index/${id}`).packs
    if (mayStay(packs, plan, emitted)) {
      for (const pack of packs) {
        emitted.add(pack.id)
      }
      continue
    }
    obsolete.push(id)
    for (const pack of packs.filter((candidate) => !plan.removePacks.has(candidate.id))) {
      await emit({ id: pack.id, blobs: fullestBlobs(pack, plan.index) })
    }
  }
  for (const pack of plan.addPacks ?? []) {
    await emit(pack)
  }
  await save()
  await mapConcurrently(obsolete, repo.store.connections, async (id) => {
    plan.beforeStep?.()
    await repo.removeFile('index', id)
  })
  return { written, removed: obsolete }
}

function mayStay(packs: readonly IndexPack[], plan: RewriteIndexes, emitted: ReadonlySet<Hex>): boolean {
  const blobs = packs.reduce((sum, pack) => sum + pack.blobs.length, 0)
  return (
    blobs >= blobsPerIndexFile &&
    blobs <= oversizedIndexFile &&
    packs.every(
      (pack) =>
        !plan.removePacks.has(pack.id) &&
        !emitted.has(pack.id) &&
        fullestBlobs(pack, plan.index).length === pack.blobs.length,
    )
  )
}

function fullestBlobs(pack: IndexPack, index: BlobIndex): IndexPack['blobs'] {
  const merged = index.packBlobs(pack.id)
  return merged.length > pack.blobs.length ? merged : pack.blobs
}
