import { readFileSync } from 'node:fs'
import { modulo, multiplyModulo, POLYNOMIAL_DEGREE } from './polynomial.ts'

/** Chunk bounds of restic's chunker, in bytes. */
export const MIN_CHUNK_BYTES = 512 * 1024
export const MAX_CHUNK_BYTES = 8 * 1024 * 1024

/** First byte of kernel memory that callers may use. */
export const KERNEL_HEAP = 65536

const LEAVE_TABLE = 1024
const REDUCE_TABLE = 3072
const POLY_KEY = 6144
const POLY_TAG = 6176

/** One instance of the WebAssembly kernel with its own memory; not shared between threads. */
export interface Kernel {
  /** All of its memory; bytes from KERNEL_HEAP on are the caller's. */
  readonly memory: Buffer
  /**
   * Length of the chunk starting at `start` given data up to `end` (offsets into memory), 0 when more
   * data is needed. `seen`: bytes of this chunk already scanned. At least 64 bytes must precede any
   * position scanned, which the 512 KiB minimum ensures.
   */
  nextCut(start: number, end: number, seen: number): number
  /** Poly1305 of memory[start, start+length) under the 32-byte key r || s; 16 bytes into `tag`. */
  poly1305(key: Uint8Array, start: number, length: number, tag: Uint8Array): void
}

interface KernelExports {
  readonly nextCut: (start: number, end: number, seen: number) => number
  readonly poly1305: (start: number, length: number) => void
}

let compiled: WebAssembly.Module | undefined

/**
 * Instantiates the kernel with `heapBytes` of memory for the caller. `polynomial` is needed for
 * nextCut only.
 */
export function openKernel(heapBytes: number, polynomial?: bigint): Kernel {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('../../dist/kernel/kernel.wasm', import.meta.url)))
  const pages = Math.ceil((KERNEL_HEAP + heapBytes) / 65536)
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages })
  const instance = new WebAssembly.Instance(compiled, { env: { memory, abort: () => undefined } })
  const exports = instance.exports as unknown as KernelExports
  if (polynomial !== undefined) writeTables(memory, polynomial)
  const bytes = Buffer.from(memory.buffer)
  return {
    memory: bytes,
    nextCut: (start, end, seen) => exports.nextCut(start, end, seen) >>> 0,
    poly1305(key, start, length, tag) {
      bytes.set(key, POLY_KEY)
      exports.poly1305(start, length)
      tag.set(bytes.subarray(POLY_TAG, POLY_TAG + 16))
    },
  }
}

function writeTables(memory: WebAssembly.Memory, polynomial: bigint): void {
  const leave = new BigUint64Array(memory.buffer, LEAVE_TABLE, 256)
  const reduce = new BigUint64Array(memory.buffer, REDUCE_TABLE, 256)
  // A byte leaves the 64-byte window after 64 appends: by then it was multiplied by x^(8*64).
  const shift = modulo(1n << BigInt(8 * 64), polynomial)
  for (let b = 0; b < 256; b++) {
    const above = BigInt(b) << BigInt(POLYNOMIAL_DEGREE)
    leave[b] = multiplyModulo(BigInt(b), shift, polynomial)
    reduce[b] = modulo(above, polynomial) | above
  }
}
