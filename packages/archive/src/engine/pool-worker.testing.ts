import { readFileSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import { HoldfastError } from '@holdfast/contract'
import { serveJobs } from './worker-pool.ts'

export type TestJob =
  | { readonly do: 'echo'; readonly value: unknown }
  | { readonly do: 'fail'; readonly how: 'holdfast' | 'system' | 'other' | 'odd' | 'uncloneable' }
  | { readonly do: 'die' }
  | { readonly do: 'crash' }
  | { readonly do: 'wait'; readonly gate: SharedArrayBuffer }
  | { readonly do: 'heard' }
  | { readonly do: 'move'; readonly bytes: number }

interface TestAnswer {
  readonly result: unknown
  readonly transfer?: readonly ArrayBuffer[]
}

const heard: unknown[] = []
let inside = 0

const server = serveJobs<TestJob, unknown>(
  async (job) => {
    if (inside > 0) throw new Error('two jobs at once')
    inside++
    await Promise.resolve()
    try {
      return await run(job)
    } finally {
      inside--
    }
  },
  (message) => heard.push(message),
)

function run(job: TestJob): Promise<TestAnswer> | TestAnswer {
  switch (job.do) {
    case 'echo':
      server.post({ seen: job.value })
      return { result: { value: job.value, data: workerData as unknown } }
    case 'fail':
      return fail(job.how)
    case 'die':
      return process.exit(3)
    case 'crash':
      setImmediate(() => {
        throw new Error('crashed on its own')
      })
      return new Promise(() => undefined)
    case 'wait':
      Atomics.wait(new Int32Array(job.gate), 0, 0)
      return { result: 'waited' }
    case 'heard':
      return { result: heard }
    case 'move': {
      const bytes = new Uint8Array(job.bytes)
      return { result: bytes, transfer: [bytes.buffer] }
    }
  }
}

function fail(how: Extract<TestJob, { do: 'fail' }>['how']): { result: unknown } {
  switch (how) {
    case 'holdfast':
      throw new HoldfastError('Damaged', 'a bit', { place: 'pack 1', guidance: 'Look.', retry: 'never' })
    case 'system':
      return { result: readFileSync('/nowhere at all') }
    case 'other':
      throw new TypeError('a slip')
    case 'odd':
      // oxlint-disable-next-line no-throw-literal -- some libraries do
      throw 'a string'
    case 'uncloneable':
      return { result: () => undefined }
  }
}
