import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { openUploadSlots, uploadSlots } from './upload-slots.ts'

const code = `
  const { parentPort, workerData } = require('node:worker_threads')
  import(workerData.module).then(({ openUploadSlots }) => {
    const slots = openUploadSlots(workerData.memory)
    for (let i = 0; i < workerData.count; i++) { slots.enter(); parentPort.postMessage('in') }
  })`

describe('upload slots', () => {
  it('let in as many as they are told over all threads, the next one only when one leaves', async () => {
    const memory = uploadSlots(3)
    const slots = openUploadSlots(memory)
    const module = new URL('./upload-slots.ts', import.meta.url).href
    const threads = [1, 2].map(
      () => new Worker(code, { eval: true, workerData: { memory, module, count: 50 } }),
    )
    let inside = 0
    let most = 0
    let passed = 0
    for (const thread of threads) {
      thread.on('message', () => {
        most = Math.max(most, ++inside)
        passed++
        // leaves in turns of its own, while others wait
        setImmediate(() => {
          inside--
          slots.leave()
        })
      })
    }
    await Promise.all(threads.map(async (thread) => await once(thread, 'exit')))
    expect(passed).toBe(100)
    expect(most).toBeLessThanOrEqual(3)
    expect(new Int32Array(memory)[0]).toBe(0)
  })
})
