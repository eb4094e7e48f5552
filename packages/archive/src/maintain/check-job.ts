import type { Hex } from '../format/ids.ts'
import type { PackedBlob } from '../format/pack-header.ts'
import type { PackFault } from './verify-pack.ts'

/** What a check worker is given when it starts. */
export interface CheckWorkerData {
  readonly key: { readonly encrypt: Uint8Array; readonly macK: Uint8Array; readonly macR: Uint8Array }
  readonly portable: boolean
}

/** One pack to verify. `bytes` unless the worker may read `path` itself. */
export interface CheckJob {
  readonly id: Hex
  readonly size: number
  /** What the index says, packed by `packBlobTable`. */
  readonly blobs: Uint8Array
  readonly path: string | undefined
  readonly bytes: Uint8Array | undefined
}

export interface CheckJobResult {
  readonly faults: readonly PackFault[]
}

const rowBytes = 48

/** Blobs in flat form, cheap to hand to another thread: id, type, offset, length, plain length. */
export function packBlobTable(blobs: readonly PackedBlob[]): Uint8Array<ArrayBuffer> {
  const table = Buffer.from(new ArrayBuffer(blobs.length * rowBytes))
  for (const [row, blob] of blobs.entries()) {
    const at = row * rowBytes
    table.write(blob.id, at, 32, 'hex')
    table.writeUInt32LE(blob.type === 'tree' ? 1 : 0, at + 32)
    table.writeUInt32LE(blob.offset, at + 36)
    table.writeUInt32LE(blob.length, at + 40)
    table.writeUInt32LE(blob.uncompressedLength, at + 44)
  }
  return new Uint8Array(table.buffer)
}

/** The blobs of a table made by `packBlobTable`. */
export function unpackBlobTable(bytes: Uint8Array): readonly PackedBlob[] {
  const table = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: table.length / rowBytes }, (_, row) => {
    const at = row * rowBytes
    return {
      type: table.readUInt32LE(at + 32) === 1 ? 'tree' : 'data',
      id: table.toString('hex', at, at + 32),
      offset: table.readUInt32LE(at + 36),
      length: table.readUInt32LE(at + 40),
      uncompressedLength: table.readUInt32LE(at + 44),
    }
  })
}
