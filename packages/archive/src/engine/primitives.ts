import { openNativePrimitives } from './native-primitives.ts'
import { openPortablePrimitives } from './portable-primitives.ts'

/**
 * Hash, cipher, MAC and compression over caller-owned memory, with nothing allocated per call. One
 * per thread. Both implementations give the same bytes, but for zstd frames, which may differ by
 * library version and decode to the same.
 */
export interface Primitives {
  readonly kind: 'native' | 'portable'
  /** SHA-256 of `source` into `out` (32 bytes). */
  sha256(source: Uint8Array, out: Uint8Array): void
  /** AES in counter mode with a 16-byte big-endian counter block, 256 bits for a 32-byte key, 128 for a 16-byte one. Keys are not to be changed in place; `target` holds as many bytes as `source` and may be it. */
  aesCtr(key: Uint8Array, iv: Uint8Array, source: Uint8Array, target: Uint8Array): void
  /** Poly1305 under the one-time key r || s (32 bytes); 16 bytes into `out`. */
  poly1305(key: Uint8Array, source: Uint8Array, out: Uint8Array): void
  /** One zstd frame of `source` into `target`; its length, or 0 when it does not fit. */
  compress(source: Uint8Array, target: Uint8Array): number
  /** Decodes one zstd frame; the plain length. Throws Damaged when it does not decode or would overflow `target`. */
  decompress(source: Uint8Array, target: Uint8Array): number
}

export interface PrimitivesOptions {
  /** zstd level; 2 compresses like restic's default at about twice its speed. */
  readonly level?: number
  /** Take the portable implementation even where the native one works. */
  readonly portable?: boolean
}

/** The fastest implementation this process can run. */
export function openPrimitives(options: PrimitivesOptions = {}): Primitives {
  const level = options.level ?? 2
  const native = options.portable === true ? undefined : openNativePrimitives(level)
  return native ?? openPortablePrimitives(level)
}
