import { isAscii, isUtf8 } from 'node:buffer'

/**
 * A file name from its bytes. UTF-8 becomes the string it is; every byte that is not part of valid
 * UTF-8 becomes one lone surrogate U+DC80..U+DCFF (the "surrogateescape" of PEP 383), so that
 * `nameToBytes(nameFromBytes(b))` equals `b` for every `b`.
 */
export function nameFromBytes(b: Uint8Array): string {
  const bytes = Buffer.from(b.buffer, b.byteOffset, b.byteLength)
  if (isAscii(bytes)) return bytes.toString('latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : escapeInvalid(bytes)
}

/**
 * The bytes of a file name. Lone surrogates U+DC80..U+DCFF become the byte they stand for; any other
 * lone surrogate, which no file name can yield, becomes U+FFFD.
 */
export function nameToBytes(s: string): Buffer {
  if (s.isWellFormed()) return Buffer.from(s, 'utf8')
  const parts: Buffer[] = []
  let from = 0
  for (let i = 0; i < s.length; i++) {
    const unit = s.charCodeAt(i)
    if (unit >= 0xd800 && unit < 0xdc00 && isLow(s.charCodeAt(i + 1))) i++
    else if (unit >= 0xdc80 && unit <= 0xdcff) {
      if (i > from) parts.push(Buffer.from(s.slice(from, i), 'utf8'))
      parts.push(Buffer.of(unit - 0xdc00))
      from = i + 1
    }
  }
  parts.push(Buffer.from(s.slice(from), 'utf8'))
  return Buffer.concat(parts)
}

/**
 * Orders names by their bytes, as restic orders the nodes of a tree. UTF-16 order differs from byte
 * order above U+FFFF and for escaped bytes, so those pairs are compared as bytes.
 */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0
  const shared = a.length < b.length ? a.length : b.length
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    if (x < 0xd800 && y < 0xd800) return x < y ? -1 : 1
    return Buffer.compare(nameToBytes(a), nameToBytes(b))
  }
  return a.length < b.length ? -1 : 1
}

/** True when the name holds bytes that are not UTF-8. */
export function hasRawBytes(name: string): boolean {
  return !name.isWellFormed()
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}

function escapeInvalid(bytes: Buffer): string {
  let out = ''
  let from = 0
  let i = 0
  while (i < bytes.length) {
    const width = sequenceLength(bytes, i)
    if (width > 0) {
      i += width
      continue
    }
    if (i > from) out += bytes.toString('utf8', from, i)
    out += String.fromCharCode(0xdc00 + (bytes[i] ?? 0))
    i++
    from = i
  }
  return from < bytes.length ? out + bytes.toString('utf8', from) : out
}

/** Length of the valid UTF-8 sequence at `i`, or 0: Unicode 15, table 3-7. */
function sequenceLength(bytes: Buffer, i: number): number {
  const lead = bytes[i] ?? 0
  if (lead < 0x80) return 1
  if (lead < 0xc2 || lead > 0xf4) return 0
  const width = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (i + width > bytes.length) return 0
  const second = bytes[i + 1] ?? 0
  const [low, high] = secondByteRange(lead)
  if (second < low || second > high) return 0
  for (let k = 2; k < width; k++) if (((bytes[i + k] ?? 0) & 0xc0) !== 0x80) return 0
  return width
}

function secondByteRange(lead: number): readonly [number, number] {
  if (lead === 0xe0) return [0xa0, 0xbf]
  if (lead === 0xed) return [0x80, 0x9f]
  if (lead === 0xf0) return [0x90, 0xbf]
  if (lead === 0xf4) return [0x80, 0x8f]
  return [0x80, 0xbf]
}
