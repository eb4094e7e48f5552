import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { openIdSet } from './id-set.ts'

interface Task {
  readonly segments: readonly SharedArrayBuffer[]
  readonly ids: SharedArrayBuffer
  /** Set to 1 by the parent when all threads are up. */
  readonly start: SharedArrayBuffer
  readonly from: number
}

const { segments, ids, start, from } = workerData as Task
const port = parentPort as MessagePort
const set = openIdSet(segments)
const bytes = Buffer.from(ids)
const count = bytes.length / 32
port.postMessage('ready')
Atomics.wait(new Int32Array(start), 0, 0)
let added = 0
for (let i = 0; i < count; i++) {
  // every thread adds all of them, beginning somewhere else
  if (set.add(bytes, ((i + from) % count) * 32)) added++
}
let missing = 0
for (let i = 0; i < count; i++) if (!set.has(bytes, i * 32)) missing++
port.postMessage({ added, missing })
