import { createCipheriv, hash } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { HoldfastError } from '@holdfast/contract'
import { KERNEL_HEAP, type Kernel, openKernel } from '../kernel/kernel.ts'
import type { Primitives } from './primitives.ts'

/** Primitives on node:crypto, node:zlib and the WebAssembly kernel: runs wherever node runs, at more cost per call. */
export function openPortablePrimitives(level: number): Primitives {
  const poly1305 = poly1305OverKernel()
  return {
    kind: 'portable',
    sha256: (source, out) => out.set(hash('sha256', source, 'buffer')),
    aesCtr(key, iv, source, target) {
      target.set(createCipheriv(key.length === 32 ? 'aes-256-ctr' : 'aes-128-ctr', key, iv).update(source))
    },
    poly1305,
    compress(source, target) {
      const params = { [constants.ZSTD_c_compressionLevel]: level }
      const frame = zstdCompressSync(source, { params, pledgedSrcSize: source.length })
      if (frame.length > target.length) return 0
      target.set(frame)
      return frame.length
    },
    decompress(source, target) {
      const plain = decompressAtMost(source, target.length)
      target.set(plain)
      return plain.length
    },
  }
}

function decompressAtMost(source: Uint8Array, maxBytes: number): Buffer {
  try {
    // zlib takes 0 for "no limit", so an empty frame is given room for one byte and then measured
    const plain = zstdDecompressSync(source, { maxOutputLength: Math.max(1, maxBytes) })
    if (plain.length <= maxBytes) return plain
  } catch (cause) {
    throw new HoldfastError('Damaged', 'zstd data does not decode into the length expected', { cause })
  }
  throw new HoldfastError('Damaged', 'zstd data does not decode into the length expected')
}

/** The kernel's memory is grown by replacement, and only to the largest message met. */
function poly1305OverKernel(): Primitives['poly1305'] {
  let kernel: Kernel | undefined
  return (key, source, out) => {
    if (kernel === undefined || kernel.memory.length < KERNEL_HEAP + source.length) {
      kernel = openKernel(Math.max(1 << 20, source.length))
    }
    kernel.memory.set(source, KERNEL_HEAP)
    kernel.poly1305(key, KERNEL_HEAP, source.length, out)
  }
}
