import { HoldfastError } from '@holdfast/contract'
import { mapConcurrently } from '../repository/map-concurrently.ts'
import { blobIdOf } from './blob-refs.ts'
import { type Built, buildPackJob, buildScanJob, fileOf } from './build-jobs.ts'
import { finishDirectory } from './finish-directory.ts'
import { failFile, finishFile, prepareFile } from './finish-file.ts'
import { coalesceReads, LOCAL_JOBS, type PackJobPlan, planPackJobs, REMOTE_JOBS } from './pack-jobs.ts'
import type { PlannedFile, RestoreBatch } from './restore-batch.ts'
import type { BlobFailure, PackJob, PackJobResult, SealedRange } from './restore-job.ts'
import { restoreLink } from './restore-link.ts'
import type { RestoreRun } from './restore-run.ts'

const SCAN_BYTES = 16 * 1024 * 1024
const SCAN_BLOBS = 2048

/**
 * Carries out one batch: find out what is in place, write the rest, check it if asked to, and finish
 * files, then links, then directories. What fails concerns single files and is reported; only a
 * failure of our own making is thrown.
 */
export async function runBatch(run: RestoreRun, batch: RestoreBatch): Promise<void> {
  await findInPlace(run, batch)
  countMissing(batch)
  expectUpdates(run, batch)
  if (!run.settings.dryRun) {
    for (const file of batch.files) prepareFile(run, file)
    dropFailed(batch)
    await writeMissing(run, batch)
    if (run.settings.verify) await verifyWritten(run, batch)
  }
  for (const file of batch.completing) finishFile(run, file)
  for (const link of batch.links) restoreLink(run, link)
  for (const directory of batch.left) finishDirectory(run, directory)
}

async function findInPlace(run: RestoreRun, batch: RestoreBatch): Promise<void> {
  const { refs } = batch
  const candidates: number[] = []
  for (let ref = 0; ref < refs.count; ref++) {
    const file = fileOf(batch, refs.file[ref] ?? 0)
    if (file.existing && (refs.fileOffset[ref] ?? 0) < file.existingSize) candidates.push(ref)
  }
  await scanRefs(run, batch, candidates, (ref, inPlace) => {
    refs.inPlace[ref] = inPlace ? 1 : 0
  })
}

async function scanRefs(
  run: RestoreRun,
  batch: RestoreBatch,
  candidates: readonly number[],
  found: (ref: number, inPlace: boolean) => void,
): Promise<void> {
  if (candidates.length === 0) return
  await mapConcurrently(divideScan(batch, candidates), run.pool.size * 2, async (part) => {
    run.throwIfCancelled()
    const answer = await run.pool.run(buildScanJob(batch, part, run.settings))
    if (answer.kind !== 'scan') throw new HoldfastError('Internal', 'a scan was answered with something else')
    part.forEach((ref, i) => found(ref, answer.inPlace[i] === 1))
  })
}

function divideScan(batch: RestoreBatch, candidates: readonly number[]): readonly (readonly number[])[] {
  const parts: number[][] = []
  let part: number[] = []
  let bytes = 0
  for (const ref of candidates) {
    if (part.length >= SCAN_BLOBS || bytes >= SCAN_BYTES) {
      parts.push(part)
      part = []
      bytes = 0
    }
    part.push(ref)
    bytes += batch.refs.plainLength[ref] ?? 0
  }
  parts.push(part)
  return parts
}

function countMissing({ refs, files }: RestoreBatch): void {
  for (let ref = 0; ref < refs.count; ref++) {
    const file = files[refs.file[ref] ?? 0]
    if (file !== undefined && refs.inPlace[ref] === 0) file.missing += refs.plainLength[ref] ?? 0
  }
}

/** Whether a file that was there has to be touched is known only now. */
function expectUpdates({ tally }: RestoreRun, { completing, refs, files }: RestoreBatch): void {
  for (const file of completing) {
    if (file.existing && (file.missing > 0 || file.existingSize !== file.bytes)) tally.expect(file.node.size)
  }
  for (let ref = 0; ref < refs.count; ref++) {
    const file = files[refs.file[ref] ?? 0]
    if (refs.inPlace[ref] === 1 && file !== undefined && file.missing > 0) {
      tally.counts.bytesRestored += refs.plainLength[ref] ?? 0
    }
  }
}

/** A file that cannot be written need not be read. */
function dropFailed({ refs, files }: RestoreBatch): void {
  for (let ref = 0; ref < refs.count; ref++) {
    if (files[refs.file[ref] ?? 0]?.failed === true) refs.inPlace[ref] = 1
  }
}

async function writeMissing(run: RestoreRun, batch: RestoreBatch): Promise<void> {
  const { store } = run.repository
  const remote = store.localDirectory === undefined
  // each lane holds at most one job's sealed bytes (16 MiB) here and one in a worker
  const lanes = remote ? Math.max(store.connections, run.pool.size) : run.pool.size * 2
  await mapConcurrently(planPackJobs(batch.refs, remote ? REMOTE_JOBS : LOCAL_JOBS), lanes, async (plan) => {
    run.throwIfCancelled()
    const built = buildPackJob(batch, plan, run.settings)
    const ranges = remote ? await fetchRanges(run, built.job) : undefined
    if (remote) run.noteStore(ranges instanceof HoldfastError ? ranges : undefined)
    if (ranges instanceof HoldfastError) return failJob(run, batch, built, ranges)
    const transfer = (ranges ?? []).map(({ bytes }) => bytes)
    const answer = await run.pool.run({ ...built.job, ranges }, transfer)
    if (answer.kind !== 'pack')
      throw new HoldfastError('Internal', 'a pack job was answered with something else')
    await settleJob({ run, batch, plan, built }, answer)
  })
}

async function fetchRanges(run: RestoreRun, job: PackJob): Promise<readonly SealedRange[] | HoldfastError> {
  const ranges: SealedRange[] = []
  try {
    for (const { offset, length } of coalesceReads(job.offsets, job.sealedLengths)) {
      const bytes = await run.repository.store.load({ type: 'pack', id: job.packId }, { offset, length })
      ranges.push({ offset, bytes: ownMemory(bytes) })
    }
    return ranges
  } catch (error) {
    if (error instanceof HoldfastError) return error
    throw error
  }
}

/** The bytes as memory that can move to another thread without taking a neighbour's along. */
function ownMemory(bytes: Buffer): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = bytes
  if (buffer instanceof ArrayBuffer && byteOffset === 0 && buffer.byteLength === byteLength) return buffer
  const copy = new Uint8Array(byteLength)
  copy.set(bytes)
  return copy.buffer
}

interface JobContext {
  readonly run: RestoreRun
  readonly batch: RestoreBatch
  readonly plan: PackJobPlan
  readonly built: Built<PackJob>
}

async function failJob(
  run: RestoreRun,
  batch: RestoreBatch,
  built: Built<PackJob>,
  error: HoldfastError,
): Promise<void> {
  const plan = { pack: 0, refs: new Uint32Array(0) }
  const badBlobs = Array.from(built.job.offsets, (_, blob) => ({
    blob,
    code: error.code,
    message: error.message,
  }))
  const answer: PackJobResult = { kind: 'pack', bytesWritten: 0, badBlobs, badTargets: [], problems: [] }
  await settleJob({ run, batch, plan, built }, answer)
}

async function settleJob(context: JobContext, answer: PackJobResult): Promise<void> {
  const { run, built } = context
  run.tally.counts.bytesWritten += answer.bytesWritten
  for (const { file, problem } of answer.problems) {
    run.tally.metadata(jobFile(context, file).path, [problem])
  }
  for (const { target, message } of answer.badTargets) {
    const file = jobFile(context, built.job.targetFile[target] ?? 0)
    failFile(run, file, new HoldfastError('TargetUnwritable', message, { place: file.path }))
  }
  for (const failure of answer.badBlobs) await recoverBlob(context, failure)
  run.tally.progress(plainBytes(built.job))
}

/** Another copy, or a second look at the same one, may be good. */
async function recoverBlob(context: JobContext, failure: BlobFailure): Promise<void> {
  const { run, built } = context
  const { job } = built
  const id = Buffer.from(job.ids.buffer, job.ids.byteOffset + failure.blob * 32, 32).toString('hex')
  const plain = await tryLoad(run, id, failure)
  const end = job.targetStart[failure.blob + 1] ?? 0
  for (let target = job.targetStart[failure.blob] ?? 0; target < end; target++) {
    const file = job.targetFile[target] ?? 0
    const planned = jobFile(context, file)
    if (plain === undefined) {
      failFile(run, planned, badBlob(job, failure, id), { untouched: planned.oneShot })
      continue
    }
    try {
      const at = { files: job.files, file, offset: job.targetOffset[target] ?? 0 }
      run.tally.metadata(planned.path, run.writer.write(at, plain))
    } catch (error) {
      failFile(run, planned, error)
    }
  }
}

async function tryLoad(run: RestoreRun, id: string, failure: BlobFailure): Promise<Buffer | undefined> {
  // with one copy only, a store that failed after its own retries is not asked once more per blob
  const hopeless = failure.code !== 'Damaged' && run.repository.index.find('data', id).length < 2
  if (hopeless) return undefined
  try {
    return await run.repository.loadBlob('data', id)
  } catch {
    return undefined
  }
}

function badBlob(job: PackJob, failure: BlobFailure, id: string): HoldfastError {
  const place = `data/${job.packId.slice(0, 2)}/${job.packId}, offset ${job.offsets[failure.blob]}`
  return new HoldfastError(failure.code, `blob ${id} in ${place} is not usable: ${failure.message}`, {
    place,
    guidance: 'Restore the file from another snapshot, or repair the repository from a copy of that pack.',
  })
}

function jobFile({ batch, built }: JobContext, file: number): PlannedFile {
  return fileOf(batch, built.fileNumbers[file] ?? -1)
}

function plainBytes(job: PackJob): number {
  let bytes = 0
  for (let blob = 0; blob < job.offsets.length; blob++) {
    const targets = (job.targetStart[blob + 1] ?? 0) - (job.targetStart[blob] ?? 0)
    bytes += targets * (job.plainLengths[blob] ?? 0)
  }
  return bytes
}

async function verifyWritten(run: RestoreRun, batch: RestoreBatch): Promise<void> {
  const { refs } = batch
  const candidates: number[] = []
  for (let ref = 0; ref < refs.count; ref++) {
    const file = fileOf(batch, refs.file[ref] ?? 0)
    if (!file.failed && file.missing > 0) candidates.push(ref)
  }
  await scanRefs(run, batch, candidates, (ref, inPlace) => {
    const file = fileOf(batch, refs.file[ref] ?? 0)
    if (inPlace || file.failed) return
    const what = `content at offset ${refs.fileOffset[ref]} is not blob ${blobIdOf(refs, ref)} any more`
    failFile(
      run,
      file,
      new HoldfastError('Damaged', `${what}: it was read back after writing`, { place: file.path }),
      { during: 'verify' },
    )
  })
  for (const file of batch.completing) {
    if (!file.failed && file.missing > 0) run.tally.counts.filesVerified++
  }
}
