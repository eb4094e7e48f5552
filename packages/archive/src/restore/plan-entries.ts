import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameToBytes } from '../format/byte-name.ts'
import { parseGoTime } from '../format/go-time.ts'
import { type Hex, sha256Hex } from '../format/ids.ts'
import type { TreeNode } from '../format/tree.ts'
import type { FileStatus } from '../posix/file-status.ts'
import type { BlobLocation } from '../repository/blob-index.ts'
import { applyMetadata } from './apply-metadata.ts'
import { addBlobRef, plainLengthOf } from './blob-refs.ts'
import { metadataFor } from './build-jobs.ts'
import { closeDescriptor } from './close-descriptor.ts'
import { decideFile } from './decide-node.ts'
import { failFile } from './finish-file.ts'
import { openForMetadata } from './open-for-metadata.ts'
import { hasRoom, type LinkAnchor, type PlannedFile, type RestoreBatch } from './restore-batch.ts'
import type { RestoreRun } from './restore-run.ts'
import { existingOf, type TargetDirectory } from './target-tree.ts'

/** A selected entry and where it goes. */
export interface Entry {
  readonly directory: TargetDirectory
  readonly path: string
  readonly node: TreeNode
}

/** Gives the batch to fill: the present one, or a new one once that was full and is on its way. */
export interface BatchSource {
  current(): RestoreBatch
  next(): Promise<RestoreBatch>
}

/** Largest sealed or plain data blob accepted, in bytes: it is held in memory whole. restic's chunks end at 8 MiB. */
export const LARGEST_DATA_BLOB = 128 * 1024 * 1024

/** restic's smallest chunk, all zero: by far the most frequent blob of disk images, and needs no reading. */
const ZERO_CHUNK_BYTES = 512 * 1024
const ZERO_CHUNK: Hex = sha256Hex(Buffer.alloc(ZERO_CHUNK_BYTES))

/** Decides about one regular file and puts what is to be done into batches. Throws what the target throws. */
export async function planFile(run: RestoreRun, entry: Entry, batches: BatchSource): Promise<void> {
  const { node, directory, path } = entry
  const { tally, target, settings } = run
  const mtimeNs = parseGoTime(node.mtime)
  const anchor = hardLinkAnchor(run, entry)
  if (anchor.known !== undefined) {
    batches.current().links.push({ directory, path, node, mtimeNs, anchor: anchor.known })
    tally.expect(0)
    return
  }
  const status = target.status(directory, node.name)
  const existing = status === undefined ? undefined : existingOf(status)
  const decision = decideFile({ size: node.size, mtimeNs, links: node.links }, existing, settings.overwrite)
  if (decision === 'skip') {
    tally.item({ action: 'skipped', type: 'file', path, size: node.size, bytes: 0 })
    return
  }
  const link = anchor.register()
  if (decision === 'unchanged' && status !== undefined) {
    if (!settings.dryRun) refreshMetadata(run, entry, status)
    tally.item({ action: 'unchanged', type: 'file', path, size: node.size, bytes: 0 })
    return
  }
  const decided = { decision: decision === 'unchanged' ? ('compare' as const) : decision, mtimeNs, status }
  const file = { ...plannedFile(run, entry, decided), anchor: link }
  if (!file.existing) tally.expect(node.size)
  await queueBlobs(run, file, batches)
}

interface Decided {
  readonly decision: PlannedFile['decision']
  readonly mtimeNs: bigint
  readonly status: FileStatus | undefined
}

function plannedFile(
  run: RestoreRun,
  { directory, path, node }: Entry,
  decided: Decided,
): Omit<PlannedFile, 'anchor'> {
  const blobs = node.content?.length ?? 0
  const inPlace = decided.decision === 'compare'
  const partial = !inPlace && blobs > 1
  const writeName = partial ? run.partialName(path) : node.name
  const left = partial ? leftover(run, directory, writeName) : undefined
  return {
    directory,
    path,
    node,
    mtimeNs: decided.mtimeNs,
    decision: decided.decision,
    writeName,
    oneShot: blobs === 1,
    existing: inPlace || left !== undefined,
    existingSize: inPlace ? (decided.status?.size ?? 0) : (left?.size ?? 0),
    bytes: 0,
    missing: 0,
    prepared: false,
    failed: false,
  }
}

/** What an interrupted run of this restore had begun. */
function leftover(run: RestoreRun, directory: TargetDirectory, name: string): FileStatus | undefined {
  const status = run.target.status(directory, name)
  if (status === undefined) return undefined
  if ((status.mode & constants.S_IFMT) === constants.S_IFREG && status.nlink === 1) return status
  throw new HoldfastError('TargetUnwritable', `something else has the name ${name}`, {
    guidance: 'Remove it: Holdfast builds the file under that name.',
  })
}

async function queueBlobs(run: RestoreRun, file: PlannedFile, batches: BatchSource): Promise<void> {
  let batch = batches.current()
  let number = batch.files.push(file) - 1
  for (const id of file.node.content ?? []) {
    const location = run.repository.index.find('data', id)[0]
    const problem = location === undefined ? notIndexed(file, id) : tooLarge(file, id, location)
    if (location === undefined || problem !== undefined) {
      failFile(run, file, problem, { untouched: true })
      break
    }
    const isHole = run.settings.sparse && id === ZERO_CHUNK && !file.existing && !file.oneShot
    if (isHole) {
      run.tally.counts.bytesRestored += ZERO_CHUNK_BYTES
    } else {
      if (!hasRoom(batch)) {
        batch = await batches.next()
        number = batch.files.push(file) - 1
      }
      addBlobRef(batch.refs, { file: number, fileOffset: file.bytes, id, location })
    }
    file.bytes += plainLengthOf(location)
  }
  batch.completing.push(file)
}

function notIndexed(file: PlannedFile, id: Hex): HoldfastError {
  return new HoldfastError('Damaged', `its blob ${id} is in no index`, {
    place: file.path,
    guidance: 'Run `holdfast archive check`; `repair index` finds blobs whose index was lost.',
  })
}

function tooLarge(file: PlannedFile, id: Hex, location: BlobLocation): HoldfastError | undefined {
  const largest = Math.max(location.length, plainLengthOf(location))
  if (largest <= LARGEST_DATA_BLOB && location.length >= 32) return undefined
  const place = `data/${location.packId.slice(0, 2)}/${location.packId}, offset ${location.offset}`
  const message = `blob ${id} of ${file.path} has ${location.length} bytes stored, ${plainLengthOf(location)} plain; at most ${LARGEST_DATA_BLOB} are accepted`
  return new HoldfastError('LimitExceeded', message, { place, retry: 'never' })
}

interface AnchorChoice {
  /** An earlier name of the same file. */
  readonly known: LinkAnchor | undefined
  /** Makes this entry the first name. */
  readonly register: () => LinkAnchor | undefined
}

/**
 * Two names are one file when device, inode and content agree. Content too, because a snapshot may
 * span file systems whose device numbers it does not tell apart.
 */
function hardLinkAnchor(run: RestoreRun, { node, directory, path }: Entry): AnchorChoice {
  if (node.links <= 1 || node.inode === 0n) return { known: undefined, register: () => undefined }
  const content = createHash('sha256')
    .update((node.content ?? []).join(''))
    .digest('base64')
  const key = `${node.deviceId}:${node.inode}:${content}`
  return {
    known: run.anchors.get(key),
    register: () => {
      const anchor = { directory: directory.path, name: node.name, path, content, failed: false }
      run.anchors.set(key, anchor)
      return anchor
    },
  }
}

/** Sets an unchanged file's metadata where it differs; where not, its ctime stays too. */
function refreshMetadata(run: RestoreRun, { directory, path, node }: Entry, status: FileStatus): void {
  const { posix, settings } = run
  const metadata = metadataFor(node, settings, true)
  const name = nameToBytes(node.name)
  const dirFd = run.target.fd(directory)
  const same =
    status.uid === metadata.uid &&
    status.gid === metadata.gid &&
    (status.mode & 0o7777) === metadata.mode &&
    status.mtimeNs === metadata.mtimeNs
  if (same && metadata.xattrs.length === 0 && posix.listXattrsAt(dirFd, name).length === 0) return
  const fd = openForMetadata(posix, dirFd, name, constants.O_RDONLY)
  try {
    run.tally.metadata(path, applyMetadata(posix, fd, metadata, settings.rights))
  } finally {
    closeDescriptor(fd)
  }
}
