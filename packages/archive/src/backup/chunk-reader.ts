import type { BigIntStats } from 'node:fs'
import { constants, openSync, readSync } from 'node:fs'
import type { Primitives } from '../engine/primitives.ts'
import type { Hex } from '../format/ids.ts'
import { KERNEL_HEAP, type Kernel, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES } from '../kernel/kernel.ts'
import type { Posix } from '../posix/posix.ts'
import type { IdSet } from '../repository/id-set.ts'
import type { SegmentResult } from './backup-job.ts'
import type { PackSink } from './pack-sink.ts'
import { fsPath } from './stat-node.ts'

/** A file larger than this is read in segments, by whichever workers are free. */
export const LARGE_FILE_BYTES = 4 * 1024 * 1024

/** Chunks that begin within this many bytes belong to a segment. */
export const SEGMENT_BYTES = 8 * 1024 * 1024

const READ_BYTES = 1024 * 1024

/** Shorter runs of zeros are not worth a look of their own. */
const LEAST_ZEROS = 64 * 1024

/** Input memory a reader needs: a segment whose last chunk may be as long as chunks get. */
export const READER_HEAP_BYTES = SEGMENT_BYTES + MAX_CHUNK_BYTES + READ_BYTES

/** Fills `memory` from `at` with up to `length` bytes found at `offset` of the source; 0 at its end. */
export type ReadAt = (at: number, length: number, offset: number) => number

export interface ChunkReaderParts {
  readonly kernel: Kernel
  readonly primitives: Primitives
  readonly known: IdSet
  readonly sink: PackSink
  readonly charge: (stage: string, since: number) => void
}

/** A source from a chunk boundary on. */
export interface SegmentSource {
  readonly offset: number
  readonly fixedChunkBytes: number
  readonly read: ReadAt
}

interface Extent {
  readonly lengths: readonly number[]
  /** Bytes up to the end of the last chunk. */
  readonly length: number
  readonly eof: boolean
}

/** Cuts bytes in kernel memory into chunks, and passes those not yet in the repository on. One per thread. */
export class ChunkReader {
  readonly memory: Buffer
  readonly #parts: ChunkReaderParts
  readonly #id = Buffer.alloc(32)
  readonly #zeros = Buffer.alloc(MIN_CHUNK_BYTES)
  readonly #zeroIds = new Map<number, Hex>()

  constructor(parts: ChunkReaderParts) {
    this.#parts = parts
    this.memory = parts.kernel.memory
  }

  /** Stores memory[KERNEL_HEAP, KERNEL_HEAP + length), which is a whole file; the ids of its chunks. */
  storeWhole(length: number, fixedChunkBytes: number): readonly Hex[] {
    const content: Hex[] = []
    const end = KERNEL_HEAP + length
    for (let start = KERNEL_HEAP; start < end; ) {
      const rest = end - start
      const divisible = rest > (fixedChunkBytes || MIN_CHUNK_BYTES)
      const cut = divisible ? this.#cut(start, end, { fixedChunkBytes, seen: 0 }) : 0
      content.push(this.#storeChunk(start, cut || rest))
      start += cut || rest
    }
    return content
  }

  /** Stores the chunks that begin within a segment. `onExtent` is told where the next one begins before the hashing starts. */
  storeSegment(source: SegmentSource, onExtent: (nextOffset: number, eof: boolean) => void): SegmentResult {
    const { lengths, length, eof } = this.#readSegment(source)
    onExtent(source.offset + length, eof)
    let at = KERNEL_HEAP
    const content = lengths.map((chunk) => {
      const hex = this.#storeChunk(at, chunk)
      at += chunk
      return hex
    })
    return { content, length }
  }

  #readSegment({ offset, fixedChunkBytes, read }: SegmentSource): Extent {
    const lengths: number[] = []
    let have = 0
    let start = 0
    while (start < SEGMENT_BYTES) {
      const since = performance.now()
      const seen = have - start
      const room = Math.min(READ_BYTES, READER_HEAP_BYTES - have)
      const count = read(KERNEL_HEAP + have, room, offset + have)
      this.#parts.charge('read', since)
      if (count === 0) {
        if (have > start) lengths.push(have - start)
        return { lengths, length: have, eof: true }
      }
      have += count
      start += this.#cutAll(lengths, { start, have, seen, fixedChunkBytes })
    }
    return { lengths, length: start, eof: false }
  }

  /** Appends the chunks that end in what was read, as far as the segment goes; their bytes. */
  #cutAll(
    lengths: number[],
    read: {
      readonly start: number
      readonly have: number
      readonly seen: number
      readonly fixedChunkBytes: number
    },
  ): number {
    let { start, seen } = read
    while (start < SEGMENT_BYTES) {
      const chunk = { fixedChunkBytes: read.fixedChunkBytes, seen }
      const length = this.#cut(KERNEL_HEAP + start, KERNEL_HEAP + read.have, chunk)
      if (length === 0) break
      lengths.push(length)
      start += length
      seen = 0
    }
    return start - read.start
  }

  #cut(
    start: number,
    end: number,
    chunk: { readonly fixedChunkBytes: number; readonly seen: number },
  ): number {
    const { fixedChunkBytes, seen } = chunk
    if (fixedChunkBytes > 0) return end - start >= fixedChunkBytes ? fixedChunkBytes : 0
    const since = performance.now()
    const length = this.#parts.kernel.nextCut(start, end, seen)
    this.#parts.charge('chunk', since)
    return length
  }

  #storeChunk(start: number, length: number): Hex {
    const bytes = this.memory.subarray(start, start + length)
    const zero = this.#zeroId(bytes)
    if (zero !== undefined) return zero
    const hex = this.#hash(bytes)
    if (this.#parts.known.add(this.#id)) {
      const since = performance.now()
      this.#parts.sink.save('data', hex, bytes)
      this.#parts.charge('seal', since)
    }
    return hex
  }

  /** Runs of zeros are common in images of disks; comparing is many times cheaper than hashing. */
  #zeroId(bytes: Buffer): Hex | undefined {
    if (bytes[0] !== 0 || bytes.length > MIN_CHUNK_BYTES || bytes.length < LEAST_ZEROS) return undefined
    if (bytes.compare(this.#zeros, 0, bytes.length) !== 0) return undefined
    const found = this.#zeroIds.get(bytes.length)
    // the first one is stored like any other chunk
    if (found === undefined) this.#zeroIds.set(bytes.length, this.#hash(bytes))
    return found
  }

  #hash(bytes: Buffer): Hex {
    const since = performance.now()
    this.#parts.primitives.sha256(bytes, this.#id)
    this.#parts.charge('hash', since)
    return this.#id.toString('hex')
  }
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
const O_NOATIME = constants.O_NOATIME ?? 0

/**
 * Opens a file to read without following a symbolic link in its place, without blocking on a pipe,
 * and without touching its access time where we may.
 */
export function openToRead(path: string): number {
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
  try {
    return openSync(fsPath(path), flags | O_NOATIME)
  } catch (error) {
    // O_NOATIME is for owners only
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
    return openSync(fsPath(path), flags)
  }
}

/** Reads of an open file, passing over its holes without asking the disk. */
export function readerOf(
  fd: number,
  memory: Buffer,
  sparse: { readonly posix: Posix | undefined; readonly stat: BigIntStats },
): ReadAt {
  const { posix, stat } = sparse
  const mayHaveHoles = posix !== undefined && stat.blocks * 512n < stat.size
  const size = Number(stat.size)
  let dataFrom = 0
  return (at, length, offset) => {
    if (mayHaveHoles && offset >= dataFrom && offset < size) {
      const next = posix.seekData(fd, offset) ?? size
      const hole = Math.min(next - offset, length)
      if (hole > 0) {
        memory.fill(0, at, at + hole)
        return hole
      }
      dataFrom = posix.seekHole(fd, offset)
      return readSync(fd, memory, at, Math.min(length, dataFrom - offset), offset)
    }
    return readSync(
      fd,
      memory,
      at,
      mayHaveHoles && offset < dataFrom ? Math.min(length, dataFrom - offset) : length,
      offset,
    )
  }
}
