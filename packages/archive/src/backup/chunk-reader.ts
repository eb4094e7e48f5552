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

/** Input memory a reader needs: a segment whose last chunk may be as long as chunks get. */
export const READER_HEAP_BYTES = SEGMENT_BYTES + MAX_CHUNK_BYTES + READ_BYTES

/** Fills `memory` from `at` with up to `length` bytes found at `offset` of the source; 0 at its end. */
export type ReadAt = (at: number, length: number, offset: number) => number

/** Cuts bytes in kernel memory into chunks, and passes those not yet in the repository on. */
export interface ChunkReader {
  readonly memory: Buffer
  /** Chunks of memory[KERNEL_HEAP, KERNEL_HEAP + length), which is a whole file. */
  storeWhole(length: number, fixedChunkBytes: number): readonly Hex[]
  /** Chunks from a boundary on. `onExtent` is told where the next segment begins before the hashing starts. */
  storeSegment(
    source: { readonly offset: number; readonly fixedChunkBytes: number; readonly read: ReadAt },
    onExtent: (nextOffset: number, eof: boolean) => void,
  ): SegmentResult
}

export interface ChunkReaderParts {
  readonly kernel: Kernel
  readonly primitives: Primitives
  readonly known: IdSet
  readonly sink: PackSink
  readonly charge: (stage: string, since: number) => void
}

export function createChunkReader(parts: ChunkReaderParts): ChunkReader {
  const { kernel, primitives, known, sink, charge } = parts
  const { memory } = kernel
  const id = Buffer.alloc(32)
  const zeros = Buffer.alloc(MIN_CHUNK_BYTES)
  const zeroIds = new Map<number, Hex>()

  const hash = (bytes: Buffer): Hex => {
    const since = performance.now()
    primitives.sha256(bytes, id)
    charge('hash', since)
    return id.toString('hex')
  }
  /** Runs of zeros are common in images of disks; comparing is many times cheaper than hashing. */
  const zeroId = (bytes: Buffer): Hex | undefined => {
    if (bytes[0] !== 0 || bytes.length > MIN_CHUNK_BYTES || bytes.length < 65536) return undefined
    if (bytes.compare(zeros, 0, bytes.length) !== 0) return undefined
    const found = zeroIds.get(bytes.length)
    if (found === undefined) zeroIds.set(bytes.length, hash(bytes))
    return found
  }
  const storeChunk = (start: number, length: number): Hex => {
    const bytes = memory.subarray(start, start + length)
    const zero = zeroId(bytes)
    if (zero !== undefined) return zero
    const hex = hash(bytes)
    if (known.add(id)) {
      const since = performance.now()
      sink.save('data', hex, bytes)
      charge('seal', since)
    }
    return hex
  }
  const cut = (
    start: number,
    end: number,
    chunk: { readonly fixed: number; readonly seen: number },
  ): number => {
    if (chunk.fixed > 0) return end - start >= chunk.fixed ? chunk.fixed : 0
    const since = performance.now()
    const length = kernel.nextCut(start, end, chunk.seen)
    charge('chunk', since)
    return length
  }
  return {
    memory,
    storeWhole(length, fixed) {
      const content: Hex[] = []
      const end = KERNEL_HEAP + length
      for (let start = KERNEL_HEAP; start < end; ) {
        const rest = end - start
        const size = (rest > (fixed || MIN_CHUNK_BYTES) ? cut(start, end, { fixed, seen: 0 }) : 0) || rest
        content.push(storeChunk(start, size))
        start += size
      }
      return content
    },
    storeSegment({ offset, fixedChunkBytes: fixed, read }, onExtent) {
      const lengths: number[] = []
      let have = 0
      let start = 0
      let seen = 0
      let eof = false
      while (start < SEGMENT_BYTES) {
        const since = performance.now()
        const count = read(KERNEL_HEAP + have, Math.min(READ_BYTES, READER_HEAP_BYTES - have), offset + have)
        charge('read', since)
        if (count === 0) {
          eof = true
          if (have > start) lengths.push(have - start)
          start = have
          break
        }
        have += count
        for (;;) {
          const length = cut(KERNEL_HEAP + start, KERNEL_HEAP + have, { fixed, seen })
          if (length === 0) break
          lengths.push(length)
          start += length
          seen = 0
          if (start >= SEGMENT_BYTES) break
        }
        seen = have - start
      }
      onExtent(offset + start, eof)
      let at = KERNEL_HEAP
      const content = lengths.map((length) => {
        const hex = storeChunk(at, length)
        at += length
        return hex
      })
      return { content, length: start }
    },
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
