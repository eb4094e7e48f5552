import { HoldfastError } from '@holdfast/contract'
import type { WorkerPool } from '../engine/worker-pool.ts'
import type { Hex } from '../format/ids.ts'
import { MAX_CHUNK_BYTES } from '../kernel/kernel.ts'
import type { BackupAnswer, BackupJob, BackupMessage, SegmentResult } from './backup-job.ts'
import { SEGMENT_BYTES } from './chunk-reader.ts'

/** Stream bytes sent at once: enough that the last chunk of a segment never lacks its end. */
const STREAM_BLOCK_BYTES = SEGMENT_BYTES + MAX_CHUNK_BYTES

export interface StoredContent {
  readonly content: readonly Hex[]
  /** Plain bytes read, which may differ from what the file's size said. */
  readonly length: number
}

/**
 * Stores large files and streams as chains of segments. Where a segment ends is only known once its
 * last chunk was cut, so the next one starts there; but cutting is many times faster than the rest,
 * and a worker tells the end before it hashes. So one large file keeps all workers busy.
 */
export interface SegmentChains {
  storeFile(path: string, fixedChunkBytes: number): Promise<StoredContent>
  storeStream(source: AsyncIterable<Uint8Array>, fixedChunkBytes: number): Promise<StoredContent>
  /** To be given every `next` message of the pool. */
  next(message: Extract<BackupMessage, { kind: 'next' }>): void
}

export function createSegmentChains(
  pool: WorkerPool<BackupJob, BackupAnswer>,
  options: { readonly onBytes: (count: number) => void; readonly signal?: AbortSignal | undefined },
): SegmentChains {
  const { onBytes, signal } = options
  const waiting = new Map<number, (message: Extract<BackupMessage, { kind: 'next' }>) => void>()
  let chains = 0

  /** Hands one segment over; its extent and, later, its chunks. */
  const segment = async (job: Extract<BackupJob, { kind: 'segment' | 'bytes' }>) => {
    const extent = new Promise<{ readonly offset: number; readonly eof: boolean }>((resolve) =>
      waiting.set(job.chain, resolve),
    )
    const { result } = await pool.start(job)
    // a segment that fails never tells its extent
    const told = await Promise.race([extent, result.then(() => extent)])
    return { ...told, result: result as Promise<SegmentResult> }
  }
  const join = async (parts: readonly Promise<SegmentResult>[]): Promise<StoredContent> => {
    const results = await Promise.all(parts)
    return {
      content: results.flatMap((part) => part.content),
      length: results.reduce((sum, part) => sum + part.length, 0),
    }
  }
  return {
    next: (message) => waiting.get(message.chain)?.(message),
    async storeFile(path, fixedChunkBytes) {
      const chain = ++chains
      const parts: Promise<SegmentResult>[] = []
      for (let offset = 0, eof = false; !eof; ) {
        signal?.throwIfAborted()
        const { result, ...extent } = await segment({ kind: 'segment', chain, path, offset, fixedChunkBytes })
        parts.push(result)
        onBytes(extent.offset - offset)
        offset = extent.offset
        eof = extent.eof
      }
      waiting.delete(chain)
      return await join(parts)
    },
    async storeStream(source, fixedChunkBytes) {
      const chain = ++chains
      const parts: Promise<SegmentResult>[] = []
      using blocks = new BlockReader(source, signal)
      for (let eof = false; !eof; ) {
        const { bytes, last } = await blocks.block()
        if (last && bytes.length === 0) break
        const extent = await segment({ kind: 'bytes', chain, bytes, last, fixedChunkBytes })
        parts.push(extent.result)
        onBytes(extent.offset)
        blocks.consumed(extent.offset)
        eof = extent.eof
      }
      waiting.delete(chain)
      return await join(parts)
    },
  }
}

/** Gathers a stream into blocks; bytes not consumed come again at the start of the next one. */
class BlockReader implements Disposable {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #signal: AbortSignal | undefined
  #interrupt: (reason: unknown) => void = () => undefined
  #buffer = Buffer.allocUnsafe(STREAM_BLOCK_BYTES)
  #have = 0
  #rest: Uint8Array = new Uint8Array(0)
  #ended = false

  constructor(source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined) {
    this.#source = source[Symbol.asyncIterator]()
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => this.#interrupt(this.#signal?.reason)

  async block(): Promise<{ readonly bytes: Buffer; readonly last: boolean }> {
    while (this.#have < STREAM_BLOCK_BYTES && !(this.#ended && this.#rest.length === 0)) {
      if (this.#rest.length === 0) {
        const { value, done } = await this.#next()
        if (done === true) this.#ended = true
        else this.#rest = value
      }
      const taken = this.#rest.subarray(0, STREAM_BLOCK_BYTES - this.#have)
      this.#buffer.set(taken, this.#have)
      this.#have += taken.length
      this.#rest = this.#rest.subarray(taken.length)
    }
    return { bytes: this.#buffer.subarray(0, this.#have), last: this.#ended && this.#rest.length === 0 }
  }

  /** The next piece, or the abort of a stream that may never say anything again. */
  async #next(): Promise<IteratorResult<Uint8Array>> {
    this.#signal?.throwIfAborted()
    return await new Promise((resolve, reject) => {
      this.#interrupt = reject
      this.#source.next().then(resolve, reject)
    })
  }

  /** Whoever feeds a stream that is given up before its end must learn of it, or it would wait for ever. */
  [Symbol.dispose](): void {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    if (this.#ended) return
    // not awaited: a generator that is waiting for its own source answers only after that
    this.#source.return?.().catch(() => undefined)
  }

  consumed(count: number): void {
    if (count > this.#have)
      throw new HoldfastError('Internal', `a segment consumed ${count} of ${this.#have} bytes`)
    this.#buffer.copyWithin(0, count, this.#have)
    this.#have -= count
  }
}
