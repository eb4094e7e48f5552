import { closeSync, constants, openSync, readSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { openPrimitives } from '../engine/primitives.ts'
import { openSealer } from '../engine/sealer.ts'
import { serveJobs } from '../engine/worker-pool.ts'
import { nameToBytes } from '../format/byte-name.ts'
import { openPosix } from '../posix/posix.ts'
import { filesystemPath } from '../stores/filesystem-path.ts'
import { closeDescriptor } from './close-descriptor.ts'
import { DirectoryCache } from './directory-cache.ts'
import { coalesceReads, type PackRange } from './pack-jobs.ts'
import type {
  BlobFailure,
  PackJob,
  PackJobResult,
  RestoreJob,
  RestoreJobResult,
  RestoreWorkerData,
  ScanJob,
  ScanJobResult,
  TargetFailure,
} from './restore-job.ts'
import { TargetWriter } from './target-writer.ts'

/**
 * The hot path of restore, one per thread: read the needed ranges of a pack, check and open each
 * blob, decompress it into memory of exactly the size the index names, compare its hash with its id,
 * and write it to every place it belongs. Memory: one range of a pack (16 MiB, or one blob when
 * larger) and one plain blob twice.
 */
const data = workerData as RestoreWorkerData
const posix = openPosix()
const primitives = openPrimitives({ portable: data.portable })
const sealer = openSealer(reviveKey(data.masterKey), primitives)
const writer = new TargetWriter({ posix, rootFd: data.rootFd, rights: data.rights })
const scanned = new DirectoryCache(posix, data.rootFd)
const hash = Buffer.alloc(32)
let sealedMemory = Buffer.allocUnsafeSlow(1024 * 1024)
let openedMemory = Buffer.allocUnsafeSlow(1024 * 1024)
let plainMemory = Buffer.allocUnsafeSlow(1024 * 1024)

serveJobs<RestoreJob, RestoreJobResult>((job) => ({
  result: job.kind === 'pack' ? restorePack(job) : scan(job),
}))

function restorePack(job: PackJob): PackJobResult {
  const badBlobs: BlobFailure[] = []
  const badTargets: TargetFailure[] = []
  const problems: PackJobResult['problems'][number][] = []
  const before = writer.bytesWritten
  for (const { first, end, read } of readsOf(job)) {
    let sealed: Uint8Array
    try {
      sealed = read()
    } catch (error) {
      for (let i = first; i < end; i++) badBlobs.push(blobFailure(i, error))
      continue
    }
    const start = job.offsets[first] ?? 0
    for (let i = first; i < end; i++) {
      try {
        const at = (job.offsets[i] ?? 0) - start
        const plain = openBlob(job, i, sealed.subarray(at, at + (job.sealedLengths[i] ?? 0)))
        writeTargets(job, i, plain, { badTargets, problems })
      } catch (error) {
        badBlobs.push(blobFailure(i, error))
      }
    }
  }
  return { kind: 'pack', bytesWritten: writer.bytesWritten - before, badBlobs, badTargets, problems }
}

interface Read {
  /** Blobs first to end - 1 lie in what `read` gives. */
  readonly first: number
  readonly end: number
  readonly read: () => Uint8Array
}

function* readsOf(job: PackJob): Generator<Read, void, undefined> {
  const ranges = job.ranges ?? coalesceReads(job.offsets, job.sealedLengths)
  let pack: number | undefined
  try {
    let first = 0
    for (const range of ranges) {
      const rangeEnd = range.offset + ('bytes' in range ? range.bytes.byteLength : range.length)
      let end = first
      while (end < job.offsets.length && (job.offsets[end] ?? 0) < rangeEnd) end++
      const read = (): Uint8Array => {
        if ('bytes' in range) return new Uint8Array(range.bytes)
        pack ??= openSync(filesystemPath(data.localDirectory ?? '', { type: 'pack', id: job.packId }), 'r')
        return readRange(pack, range)
      }
      yield { first, end, read }
      first = end
    }
  } finally {
    if (pack !== undefined) closeSync(pack)
  }
}

function readRange(fd: number, { offset, length }: PackRange): Uint8Array {
  if (sealedMemory.length < length) sealedMemory = Buffer.allocUnsafeSlow(length)
  for (let done = 0; done < length; ) {
    const read = readSync(fd, sealedMemory, done, length - done, offset + done)
    if (read === 0) {
      throw new HoldfastError(
        'Damaged',
        `the pack ends at ${offset + done}, at least ${offset + length} bytes expected`,
      )
    }
    done += read
  }
  return sealedMemory.subarray(0, length)
}

/** The plain bytes of one blob, valid until the next call. */
function openBlob(job: PackJob, i: number, sealed: Uint8Array): Uint8Array {
  const plainLength = job.plainLengths[i] ?? 0
  if (openedMemory.length < sealed.length) openedMemory = Buffer.allocUnsafeSlow(sealed.length)
  const openedLength = sealer.open(sealed, openedMemory)
  let plain: Uint8Array = openedMemory.subarray(0, openedLength)
  if (job.compressed[i] === 1) {
    if (plainMemory.length < plainLength) plainMemory = Buffer.allocUnsafeSlow(plainLength)
    const length = primitives.decompress(plain, plainMemory.subarray(0, plainLength))
    if (length !== plainLength) {
      throw new HoldfastError('Damaged', `the blob decodes to ${length} bytes, its index says ${plainLength}`)
    }
    plain = plainMemory.subarray(0, length)
  }
  primitives.sha256(plain, hash)
  if (hash.compare(job.ids, i * 32, i * 32 + 32) !== 0) {
    throw new HoldfastError('Damaged', `the content hashes to ${hash.toString('hex')}`)
  }
  return plain
}

interface Troubles {
  readonly badTargets: TargetFailure[]
  readonly problems: PackJobResult['problems'][number][]
}

function writeTargets(
  job: PackJob,
  blob: number,
  plain: Uint8Array,
  { badTargets, problems }: Troubles,
): void {
  for (let target = job.targetStart[blob] ?? 0; target < (job.targetStart[blob + 1] ?? 0); target++) {
    const file = job.targetFile[target] ?? 0
    try {
      const found = writer.write({ files: job.files, file, offset: job.targetOffset[target] ?? 0 }, plain)
      for (const problem of found) problems.push({ file, problem })
    } catch (error) {
      badTargets.push({ target, message: messageOf(error) })
    }
  }
}

/** A file that cannot be opened or is too short holds none of its blobs; that is an answer, not an error. */
function scan(job: ScanJob): ScanJobResult {
  const inPlace = new Uint8Array(job.file.length)
  let openFile = -1
  let fd: number | undefined
  for (let i = 0; i < job.file.length; i++) {
    const file = job.file[i] ?? 0
    if (file !== openFile) {
      if (fd !== undefined) closeDescriptor(fd)
      fd = openToScan(job, file)
      openFile = file
    }
    if (fd !== undefined && holds(fd, job, i)) inPlace[i] = 1
  }
  if (fd !== undefined) closeDescriptor(fd)
  return { kind: 'scan', inPlace }
}

function openToScan(job: ScanJob, file: number): number | undefined {
  const { files } = job
  try {
    const dirFd = scanned.open(files.directories[files.directory[file] ?? 0] ?? '')
    const fd = posix.openat(
      dirFd,
      nameToBytes(files.names[file] ?? ''),
      constants.O_RDONLY | constants.O_NONBLOCK,
    )
    if ((posix.fstat(fd).mode & constants.S_IFMT) === constants.S_IFREG) return fd
    closeDescriptor(fd)
    return undefined
  } catch {
    return undefined
  }
}

function holds(fd: number, job: ScanJob, i: number): boolean {
  const length = job.plainLength[i] ?? 0
  if (plainMemory.length < length) plainMemory = Buffer.allocUnsafeSlow(length)
  try {
    for (let done = 0; done < length; ) {
      const read = readSync(fd, plainMemory, done, length - done, (job.fileOffset[i] ?? 0) + done)
      if (read === 0) return false
      done += read
    }
  } catch {
    return false
  }
  primitives.sha256(plainMemory.subarray(0, length), hash)
  return hash.compare(job.ids, i * 32, i * 32 + 32) === 0
}

function blobFailure(blob: number, error: unknown): BlobFailure {
  return { blob, code: isHoldfastError(error) ? error.code : 'StoreUnavailable', message: messageOf(error) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

// Structured cloning turns a Buffer into a Uint8Array.
function reviveKey(key: RestoreWorkerData['masterKey']): RestoreWorkerData['masterKey'] {
  return { encrypt: Buffer.from(key.encrypt), macK: Buffer.from(key.macK), macR: Buffer.from(key.macR) }
}
