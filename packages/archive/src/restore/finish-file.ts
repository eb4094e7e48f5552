import { constants, ftruncateSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameToBytes } from '../format/byte-name.ts'
import { applyMetadata } from './apply-metadata.ts'
import { metadataFor, needsOthersRemoved } from './build-jobs.ts'
import { closeDescriptor } from './close-descriptor.ts'
import { openForMetadata } from './open-for-metadata.ts'
import type { PlannedFile } from './restore-batch.ts'
import type { RestoreRun } from './restore-run.ts'

const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = constants

/** Makes ready what blobs will be written into. Idempotent; a failure is reported and marks the file. */
export function prepareFile(run: RestoreRun, file: PlannedFile): void {
  if (file.failed || file.prepared) return
  // nothing to write yet: for a file that spans batches a later one may bring something
  if (file.existing && file.missing === 0 && file.existingSize === file.node.size) return
  try {
    if (file.decision === 'replace') run.target.clear(file.directory, file.node.name)
    if (!byWorker(file)) openForBlobs(run, file)
    else if (file.existing) makeWritable(run, file)
    file.prepared = true
  } catch (error) {
    failFile(run, file, error)
  }
}

/** The worker that writes its only blob also makes it and sets its metadata. */
function byWorker(file: PlannedFile): boolean {
  return file.oneShot && file.missing > 0
}

function openForBlobs(run: RestoreRun, file: PlannedFile): void {
  if (file.existing) makeWritable(run, file)
  const flags = file.existing ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL
  const fd = run.posix.openat(run.target.fd(file.directory), nameToBytes(file.writeName), flags, 0o600)
  try {
    ftruncateSync(fd, file.node.size)
  } finally {
    closeDescriptor(fd)
  }
}

function makeWritable(run: RestoreRun, file: PlannedFile): void {
  if (run.settings.rights.uid === 0) return
  const dirFd = run.target.fd(file.directory)
  const name = nameToBytes(file.writeName)
  const { mode } = run.posix.fstatat(dirFd, name)
  if ((mode & 0o200) === 0) run.posix.fchmodat(dirFd, name, (mode & 0o777) | 0o200)
}

/**
 * The last step for a file whose content is there: size, metadata, its own name. Nothing that failed
 * gets here with its name: see failFile.
 */
export function finishFile(run: RestoreRun, file: PlannedFile): void {
  if (file.failed) return
  const { tally, settings } = run
  const unchanged =
    file.existing && file.missing === 0 && file.existingSize === file.bytes && !isPartial(file)
  try {
    if (!settings.dryRun && !byWorker(file)) settle(run, file)
    checkSize(run, file)
  } catch (error) {
    failFile(run, file, error)
    return
  }
  const action = unchanged ? 'unchanged' : file.decision === 'create' ? 'created' : 'updated'
  tally.item({ action, type: 'file', path: file.path, size: file.node.size, bytes: file.missing })
}

function settle(run: RestoreRun, file: PlannedFile): void {
  const dirFd = run.target.fd(file.directory)
  const name = nameToBytes(file.writeName)
  const resize = file.prepared && file.bytes !== file.node.size
  const fd = openForMetadata(run.posix, dirFd, name, resize ? O_WRONLY : O_RDONLY)
  try {
    if ((run.posix.fstat(fd).mode & constants.S_IFMT) !== constants.S_IFREG) {
      throw new HoldfastError('TargetUnwritable', 'it was exchanged for something else while being written')
    }
    if (resize) ftruncateSync(fd, file.bytes)
    const metadata = metadataFor(file.node, run.settings, needsOthersRemoved(file, run.settings))
    run.tally.metadata(file.path, applyMetadata(run.posix, fd, metadata, run.settings.rights))
  } finally {
    closeDescriptor(fd)
  }
  if (!isPartial(file)) return
  run.posix.renameat({ dirFd, name }, { dirFd, name: nameToBytes(file.node.name) })
  file.writeName = file.node.name
}

/** Every blob is right, and still the snapshot contradicts itself: restored as the blobs say, and said so. */
function checkSize(run: RestoreRun, file: PlannedFile): void {
  if (file.bytes === file.node.size) return
  const message = `the snapshot gives the file ${file.node.size} bytes, its blobs hold ${file.bytes}; all of them were restored`
  run.tally.fail(file.path, 'restore', new HoldfastError('Damaged', message, { place: file.path }))
}

function isPartial(file: PlannedFile): boolean {
  return file.writeName !== file.node.name
}

export interface FailureKind {
  /** `restore` when left out. */
  readonly during?: 'restore' | 'verify'
  /** What was there before has not been written into, and keeps its name. */
  readonly untouched?: boolean
}

/**
 * Reports a file that is not as the snapshot has it, once, and takes its name away if it carries it:
 * a file under its own name is complete. What could be restored stays under the partial name.
 */
export function failFile(run: RestoreRun, file: PlannedFile, error: unknown, how: FailureKind = {}): void {
  if (file.failed) return
  const { during = 'restore' } = how
  file.failed = true
  file.directory.incomplete = true
  if (file.anchor !== undefined) file.anchor.failed = true
  const kept = how.untouched !== true && takeNameAway(run, file, during)
  const text = error instanceof Error ? error.message : String(error)
  const message = kept
    ? `${text} (what could be restored is in ${file.directory.path}/${file.writeName})`
    : text
  const known = error instanceof HoldfastError ? error : undefined
  run.tally.fail(
    file.path,
    during,
    new HoldfastError(known?.code ?? 'TargetUnwritable', message, {
      place: known?.place ?? file.path,
      cause: error,
    }),
  )
}

function takeNameAway(run: RestoreRun, file: PlannedFile, during: string): boolean {
  if (run.settings.dryRun) return false
  if (isPartial(file)) return file.prepared
  // a single-blob file that could not be written was removed by its writer; an untouched one is not ours
  const touched = file.prepared && (file.existing || !file.oneShot || during === 'verify')
  if (!touched) return false
  const dirFd = run.target.fd(file.directory)
  const partial = run.partialName(file.path)
  try {
    run.posix.renameat({ dirFd, name: nameToBytes(file.writeName) }, { dirFd, name: nameToBytes(partial) })
    file.writeName = partial
    return true
  } catch {
    return false
  }
}
