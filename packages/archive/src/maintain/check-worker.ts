import { closeSync, openSync, readSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { openPrimitives } from '../engine/primitives.ts'
import { openSealer } from '../engine/sealer.ts'
import { serveJobs } from '../engine/worker-pool.ts'
import { type CheckJob, type CheckJobResult, type CheckWorkerData, unpackBlobTable } from './check-job.ts'
import { createPackVerifier } from './verify-pack.ts'

const { key, portable } = workerData as CheckWorkerData
const primitives = openPrimitives({ portable })
const masterKey = {
  encrypt: Buffer.from(key.encrypt),
  macK: Buffer.from(key.macK),
  macR: Buffer.from(key.macR),
}
const verifier = createPackVerifier({ primitives, sealer: openSealer(masterKey, primitives) })
let memory = Buffer.alloc(0)

serveJobs<CheckJob, CheckJobResult>((job) => {
  const bytes = job.path === undefined ? given(job) : readWhole(job.path, job.size)
  return { result: { faults: verifier.verify(job.id, bytes, unpackBlobTable(job.blobs)) } }
})

function given(job: CheckJob): Buffer {
  const bytes = job.bytes ?? new Uint8Array(0)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** At most `size` bytes, in memory that the next pack takes over; a file that got shorter gives fewer. */
function readWhole(path: string, size: number): Buffer {
  if (memory.length < size) {
    memory = Buffer.alloc(size)
  }
  const file = openSync(path, 'r')
  try {
    let length = 0
    while (length < size) {
      const got = readSync(file, memory, length, size - length, length)
      if (got === 0) {
        break
      }
      length += got
    }
    return memory.subarray(0, length)
  } finally {
    closeSync(file)
  }
}
