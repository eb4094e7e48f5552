import { closeSync, fstatSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { openPrimitives } from '../engine/primitives.ts'
import { openSealer } from '../engine/sealer.ts'
import { type JobAnswer, serveJobs } from '../engine/worker-pool.ts'
import { KERNEL_HEAP, openKernel } from '../kernel/kernel.ts'
import { openAccounts } from '../posix/accounts.ts'
import { openIdSet } from '../repository/id-set.ts'
import type { BackupAnswer, BackupJob, BackupMessage, BackupWorkerData, FilesResult } from './backup-job.ts'
import { ChunkReader, openToRead, READER_HEAP_BYTES, type ReadAt, readerOf } from './chunk-reader.ts'
import { FileReader } from './file-reader.ts'
import { PackSink } from './pack-sink.ts'
import { tryPosix } from './try-posix.ts'

const data = workerData as BackupWorkerData
const stages: Record<string, number> = {}
const charge = (stage: string, since: number): void => {
  stages[stage] = (stages[stage] ?? 0) + performance.now() - since
}
const primitives = openPrimitives({ level: Math.max(1, data.compressionLevel), portable: data.portable })
const { encrypt, macK, macR } = data.masterKey
const masterKey = { encrypt: Buffer.from(encrypt), macK: Buffer.from(macK), macR: Buffer.from(macR) }
const sealer = openSealer(masterKey, primitives)
const kernel = openKernel(READER_HEAP_BYTES, data.polynomial)
const known = openIdSet(data.knownBlobs)
const posix = tryPosix()
const post = (message: BackupMessage, transfer?: readonly ArrayBuffer[]): void =>
  server.post(message, transfer)
const sink = new PackSink(data, { primitives, sealer, post, charge })
const chunks = new ChunkReader({ kernel, primitives, known, sink, charge })
const files = new FileReader({
  chunks,
  known,
  rules: data.reading,
  posix,
  accounts: openAccounts(),
  charge,
})

const server = serveJobs<BackupJob, BackupAnswer>(
  async (job) => {
    const answer = handle(job)
    await sink.settle()
    return await answer
  },
  (message) => known.addSegment(message as SharedArrayBuffer),
)

async function handle(job: BackupJob): Promise<JobAnswer<BackupAnswer>> {
  switch (job.kind) {
    case 'files':
      return filesAnswer(files.read(job))
    case 'segment':
      return { result: readSegment(job) }
    case 'bytes':
      return { result: readBytes(job) }
    case 'tree':
      sink.save('tree', job.id, job.json)
      return { result: undefined }
    case 'flush':
      await sink.flush()
      return { result: { counts: sink.counts, stages } }
  }
}

function filesAnswer(result: FilesResult): JobAnswer<BackupAnswer> {
  return { result, transfer: [result.nodes.buffer, result.entries.buffer] }
}

function readSegment(job: Extract<BackupJob, { kind: 'segment' }>): BackupAnswer {
  const fd = openToRead(job.path)
  try {
    const read = readerOf(fd, chunks.memory, { posix, stat: fstatSync(fd, { bigint: true }) })
    return chunks.storeSegment({ ...job, read }, (offset, eof) =>
      post({ kind: 'next', chain: job.chain, offset, eof }),
    )
  } finally {
    closeSync(fd)
  }
}

function readBytes(job: Extract<BackupJob, { kind: 'bytes' }>): BackupAnswer {
  const { bytes, last, chain, fixedChunkBytes } = job
  if (last && bytes.length === 0) return { content: [], length: 0 }
  // All bytes lie in memory at once; what follows the last cut goes back to the stream unless it has ended.
  chunks.memory.set(bytes, KERNEL_HEAP)
  let given = 0
  const read: ReadAt = () => {
    const count = bytes.length - given
    given = bytes.length
    return count
  }
  return chunks.storeSegment({ offset: 0, fixedChunkBytes, read }, (offset, eof) =>
    post({ kind: 'next', chain, offset, eof }),
  )
}
