import { type HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import { decodeIndexFile, type IndexPack } from '../format/index-file.ts'
import type { ProgressSink } from '../progress.ts'
import { type BlobIndexBuilder, createBlobIndex, expectedBlobs } from '../repository/blob-index.ts'
import { mapConcurrently } from '../repository/map-concurrently.ts'
import type { Repository } from '../repository/repository.ts'
import { packFileBytes } from './pack-use.ts'
import { readPackHeader } from './read-pack-header.ts'
import { rewriteIndexes } from './rewrite-indexes.ts'
import { type LockedOptions, throwIfStopped, underLock } from './under-lock.ts'

export interface RepairIndexOptions extends LockedOptions {
  /** Do not believe the present index at all: read the header of every pack. */
  readonly readAllPacks?: boolean
  readonly dryRun?: boolean
}

export interface RepairIndexResult {
  /** Index files that could not be read; they are removed. */
  readonly damagedIndexFiles: readonly { readonly id: Hex; readonly error: HoldfastError }[]
  /** Packs whose header was read, because no index had them or their size did not fit. */
  readonly indexedPacks: readonly Hex[]
  /** Packs taken out of the index because their file is not there. */
  readonly absentPacks: readonly Hex[]
  /** Packs whose header cannot be read: they are in no index now. repair packs may save some of their blobs. */
  readonly unreadablePacks: readonly { readonly id: Hex; readonly error: HoldfastError }[]
  readonly writtenIndexFiles: readonly Hex[]
  readonly removedIndexFiles: readonly Hex[]
}

/**
 * Makes the index agree with the packs, under an exclusive lock: reads the headers of packs that no index knows
 * or whose size does not fit, drops packs that are gone, and writes new index files before removing old ones.
 * Removes no packs. A store that fails is thrown; a damaged file is reported and left out.
 */
export async function repairIndex(
  repo: Repository,
  options: RepairIndexOptions = {},
  report?: ProgressSink,
): Promise<RepairIndexResult> {
  return await underLock(repo, 'exclusive', options, async (signal) => {
    const known = await readIndexFiles(repo, options.readAllPacks === true)
    const files = new Map((await repo.listFiles('pack')).map(({ id, size }) => [id, size]))
    const absent = [...known.index.packs()].filter((id) => !files.has(id))
    const suspect = [...files].filter(([id, size]) => {
      const blobs = known.index.packBlobs(id)
      return blobs.length === 0 || packFileBytes(blobs) !== size
    })
    const headers = await readHeaders(repo, suspect, { signal, report })
    const found = {
      damagedIndexFiles: known.damaged,
      indexedPacks: headers.packs.map(({ id }) => id),
      absentPacks: absent,
      unreadablePacks: headers.unreadable,
    }
    if (options.dryRun === true) {
      return { ...found, writtenIndexFiles: [], removedIndexFiles: [] }
    }
    const { written, removed } = await rewriteIndexes(repo, {
      indexFiles: known.readable,
      index: known.index,
      removePacks: new Set([...absent, ...suspect.map(([id]) => id)]),
      addPacks: headers.packs,
      obsolete: [...known.damaged.map(({ id }) => id), ...known.ignored],
      beforeStep: () => throwIfStopped(signal),
    })
    return { ...found, writtenIndexFiles: written, removedIndexFiles: removed }
  })
}

export interface ReadIndexFiles {
  readonly index: BlobIndexBuilder
  readonly readable: readonly Hex[]
  readonly damaged: readonly { readonly id: Hex; readonly error: HoldfastError }[]
}

async function readIndexFiles(
  repo: Repository,
  ignoreAll: boolean,
): Promise<ReadIndexFiles & { readonly ignored: readonly Hex[] }> {
  if (ignoreAll) {
    const ignored = (await repo.listFiles('index')).map(({ id }) => id)
    return { index: createBlobIndex(), readable: [], damaged: [], ignored }
  }
  return { ...(await readEveryIndexFile(repo)), ignored: [] }
}

/** Reads every index file; a damaged one does not hide the others. A store that fails is thrown. */
export async function readEveryIndexFile(
  repo: Repository,
  onPack: (pack: IndexPack, file: Hex) => void = () => undefined,
): Promise<ReadIndexFiles> {
  const files = await repo.listFiles('index')
  const index = createBlobIndex(expectedBlobs(files))
  const readable: Hex[] = []
  const damaged: { readonly id: Hex; readonly error: HoldfastError }[] = []
  await mapConcurrently(files, repo.store.connections, async ({ id }) => {
    try {
      const { packs } = decodeIndexFile(await repo.loadUnpacked('index', id), `index/${id}`)
      for (const pack of packs) {
        index.addPack(pack)
        onPack(pack, id)
      }
      readable.push(id)
    } catch (error) {
      if (!isHoldfastError(error) || error.code === 'StoreUnavailable' || error.code === 'StoreRefused') {
        throw error
      }
      damaged.push({ id, error })
    }
  })
  return { index, readable, damaged }
}

async function readHeaders(
  repo: Repository,
  files: readonly (readonly [Hex, number])[],
  steps: { readonly signal: AbortSignal | undefined; readonly report: ProgressSink | undefined },
): Promise<{
  readonly packs: readonly IndexPack[]
  readonly unreadable: RepairIndexResult['unreadablePacks']
}> {
  const packs: IndexPack[] = []
  const unreadable: { readonly id: Hex; readonly error: HoldfastError }[] = []
  await mapConcurrently(files, repo.store.connections, async ([id, size]) => {
    throwIfStopped(steps.signal)
    try {
      packs.push({ id, blobs: await readPackHeader(repo, id, size) })
    } catch (error) {
      if (!isHoldfastError(error) || error.code === 'StoreUnavailable' || error.code === 'StoreRefused') {
        throw error
      }
      unreadable.push({ id, error })
    }
    const unitsDone = packs.length + unreadable.length
    steps.report?.({
      kind: 'status',
      phase: 'reading pack headers',
      filesDone: 0,
      bytesDone: 0,
      unitsDone,
      unitsTotal: files.length,
    })
  })
  return { packs, unreadable }
}
