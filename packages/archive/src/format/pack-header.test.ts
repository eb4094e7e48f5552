import { HoldfastError } from '@holdfast/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodePackHeader,
  encodePackHeader,
  MAX_SEALED_HEADER_BYTES,
  type PackedBlob,
} from './pack-header.ts'
import { packedBlobs } from './samples.testing.ts'

describe('pack headers', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(packedBlobs, (blobs) => {
        expect(decodePackHeader(encodePackHeader(blobs), 'pack')).toEqual(blobs)
      }),
    )
  })

  it('are laid out as the format says', () => {
    const id = 'ab'.repeat(32)
    const blobs: PackedBlob[] = [
      { type: 'data', id, offset: 0, length: 0x102, uncompressedLength: 0 },
      { type: 'tree', id, offset: 0x102, length: 33, uncompressedLength: 0x304 },
    ]
    expect(encodePackHeader(blobs).toString('hex')).toBe(`0002010000${id}032100000004030000${id}`)
  })

  it('are not written with a gap between blobs', () => {
    const blob: PackedBlob = {
      type: 'data',
      id: '00'.repeat(32),
      offset: 1,
      length: 32,
      uncompressedLength: 0,
    }
    expect(() => encodePackHeader([blob])).toThrow(HoldfastError)
  })

  it.each([
    ['an unknown type', `04${'00'.repeat(36)}`, 'Damaged', 'pack@0'],
    ['an entry cut short', `0020000000${'00'.repeat(31)}`, 'Damaged', 'pack@0'],
    ['a blob too short to be sealed', `001f000000${'00'.repeat(32)}`, 'Damaged', 'pack@0'],
    ['a compressed blob of length 0', `022000000000000000${'00'.repeat(32)}`, 'Damaged', 'pack@0'],
    [
      'a pack over 4 GiB',
      `00ffffffff${'00'.repeat(32)}00ffffffff${'00'.repeat(32)}`,
      'LimitExceeded',
      'pack@37',
    ],
  ])('with %s are refused with the place', (_what, hex, code, place) => {
    expect(() => decodePackHeader(Buffer.from(hex, 'hex'), 'pack')).toThrow(
      expect.objectContaining({ code, place }),
    )
  })

  it('over 16 MiB are refused before anything is read', () => {
    expect(() => decodePackHeader(new Uint8Array(MAX_SEALED_HEADER_BYTES + 1), 'pack')).toThrow(
      expect.objectContaining({ code: 'LimitExceeded' }),
    )
  })
})
