// The archive's WebAssembly kernel: restic's content-defined chunker and Poly1305.
//
// Chunker: Rabin fingerprint over GF(2)[x] modulo a secret irreducible polynomial of degree 53,
// 64-byte window, cuts where the low 20 bits are zero (restic's `chunker` package defines the
// boundaries; this file only computes the same ones faster). Poly1305: RFC 8439, section 2.5.
//
// Memory is imported. The first 64 KiB belong to this file:
//   1024  u64[256]  what a byte that left the window contributed, already shifted by one append
//   3072  u64[256]  reduction of the eight bits above the degree
//   6144  32 bytes  Poly1305 key (r, s), 6176: its 16-byte tag, 6208: a padded last block

const LEAVE: usize = 1024
const REDUCE: usize = 3072
const POLY_KEY: usize = 6144
const POLY_TAG: usize = 6176
const POLY_TAIL: usize = 6208

const MIN_BYTES: u32 = 512 * 1024
const MAX_BYTES: u32 = 8 * 1024 * 1024
const CUT_MASK: u32 = 0xfffff
const WINDOW: usize = 64
const LANE: usize = 8192

// Both the append of `enter` and the removal of `leave` are linear, so they are done in one step;
// with the removal pre-shifted, it stays off the chain from one digest to the next.
// @ts-ignore: decorator
@inline
function roll(digest: u64, enter: u64, leave: u64): u64 {
  return (
    ((digest << 8) | enter) ^
    load<u64>(REDUCE + (<usize>(digest >> 45) << 3)) ^
    load<u64>(LEAVE + (<usize>leave << 3))
  )
}

// Digest of the 64 bytes before `at`. A digest depends on nothing else, so any position can be entered.
// @ts-ignore: decorator
@inline
function digestBefore(at: usize): u64 {
  let digest: u64 = 0
  for (let p = at - WINDOW; p < at; p++) {
    digest = ((digest << 8) | <u64>load<u8>(p)) ^ load<u64>(REDUCE + (<usize>(digest >> 45) << 3))
  }
  return digest
}

// Bytes from `from` up to and including the first cut within `count`, or 0.
function scanInOrder(from: usize, count: usize): u32 {
  let digest = digestBefore(from)
  for (let i: usize = 0; i < count; i++) {
    digest = roll(digest, <u64>load<u8>(from + i), <u64>load<u8>(from + i - WINDOW))
    if ((<u32>digest & CUT_MASK) == 0) return <u32>(i + 1)
  }
  return 0
}

// True when no cut lies in the three lanes that start at `from`. Three independent chains keep the
// processor busy while each waits for its table loads.
// @ts-ignore: decorator
@inline
function lanesAreQuiet(from: usize): bool {
  let a = digestBefore(from), b = digestBefore(from + LANE), c = digestBefore(from + 2 * LANE)
  const end = from + LANE
  for (let p = from; p < end; p++) {
    a = roll(a, <u64>load<u8>(p), <u64>load<u8>(p - WINDOW))
    b = roll(b, <u64>load<u8>(p, LANE), <u64>load<u8>(p - WINDOW, LANE))
    c = roll(c, <u64>load<u8>(p, 2 * LANE), <u64>load<u8>(p - WINDOW, 2 * LANE))
    if ((<u32>a & CUT_MASK) == 0 || (<u32>b & CUT_MASK) == 0 || (<u32>c & CUT_MASK) == 0) return false
  }
  return true
}

/**
 * Length of the chunk that starts at `start`, with data up to `end`; 0 when more data is needed to
 * tell. `seen`: bytes of this chunk that an earlier call has already found free of cuts.
 */
export function nextCut(start: usize, end: usize, seen: u32): u32 {
  const available = <u32>(end - start)
  if (available < MIN_BYTES) return 0
  const limit = available < MAX_BYTES ? available : MAX_BYTES
  const stop = start + limit
  let p: usize = start + (seen >= MIN_BYTES ? seen : MIN_BYTES - 1)
  while (p < stop) {
    const left: usize = stop - p
    const step: usize = left < 3 * LANE ? left : 3 * LANE
    if (step < 3 * LANE || !lanesAreQuiet(p)) {
      const cut = scanInOrder(p, step)
      if (cut > 0) return <u32>(p - start) + cut
    }
    p += step
  }
  return limit == MAX_BYTES ? MAX_BYTES : 0
}

/** Poly1305 tag of `length` bytes at `message`, with the key at POLY_KEY; the tag lands at POLY_TAG. */
export function poly1305(message: usize, length: u32): void {
  const M: u64 = 0x3ffffff
  const k0 = load<u64>(POLY_KEY) & 0x0ffffffc0fffffff, k1 = load<u64>(POLY_KEY, 8) & 0x0ffffffc0ffffffc
  const r0 = k0 & M, r1 = (k0 >> 26) & M, r2 = ((k0 >> 52) | (k1 << 12)) & M, r3 = (k1 >> 14) & M, r4 = k1 >> 40
  const s1 = r1 * 5, s2 = r2 * 5, s3 = r3 * 5, s4 = r4 * 5
  let h0: u64 = 0, h1: u64 = 0, h2: u64 = 0, h3: u64 = 0, h4: u64 = 0
  let top: u64 = 1 << 24
  let left = length
  while (left > 0) {
    if (left < 16) {
      store<u64>(POLY_TAIL, 0)
      store<u64>(POLY_TAIL, 0, 8)
      memory.copy(POLY_TAIL, message, left)
      store<u8>(POLY_TAIL + left, 1)
      message = POLY_TAIL
      top = 0
      left = 16
    }
    const m0 = load<u64>(message), m1 = load<u64>(message, 8)
    h0 += m0 & M
    h1 += (m0 >> 26) & M
    h2 += ((m0 >> 52) | (m1 << 12)) & M
    h3 += (m1 >> 14) & M
    h4 += (m1 >> 40) | top
    const d0 = h0 * r0 + h1 * s4 + h2 * s3 + h3 * s2 + h4 * s1
    let d1 = h0 * r1 + h1 * r0 + h2 * s4 + h3 * s3 + h4 * s2
    let d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s4 + h4 * s3
    let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s4
    let d4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0
    d1 += d0 >> 26; h0 = d0 & M
    d2 += d1 >> 26; h1 = d1 & M
    d3 += d2 >> 26; h2 = d2 & M
    d4 += d3 >> 26; h3 = d3 & M
    h0 += (d4 >> 26) * 5; h4 = d4 & M
    h1 += h0 >> 26; h0 &= M
    message += 16
    left -= 16
  }
  storeTag(h0, h1, h2, h3, h4)
}

// Full reduction modulo 2^130 - 5, then the addition of s modulo 2^128.
function storeTag(h0: u64, h1: u64, h2: u64, h3: u64, h4: u64): void {
  const M: u64 = 0x3ffffff
  h2 += h1 >> 26; h1 &= M
  h3 += h2 >> 26; h2 &= M
  h4 += h3 >> 26; h3 &= M
  h0 += (h4 >> 26) * 5; h4 &= M
  h1 += h0 >> 26; h0 &= M
  let g0 = h0 + 5
  let g1 = h1 + (g0 >> 26); g0 &= M
  let g2 = h2 + (g1 >> 26); g1 &= M
  let g3 = h3 + (g2 >> 26); g2 &= M
  let g4 = h4 + (g3 >> 26); g3 &= M
  if ((g4 >> 26) != 0) { h0 = g0; h1 = g1; h2 = g2; h3 = g3; h4 = g4 & M }
  const low = h0 | (h1 << 26) | (h2 << 52), high = (h2 >> 12) | (h3 << 14) | (h4 << 40)
  const tag0 = low + load<u64>(POLY_KEY, 16)
  const carry: u64 = tag0 < low ? 1 : 0
  store<u64>(POLY_TAG, tag0)
  store<u64>(POLY_TAG, high + load<u64>(POLY_KEY, 24) + carry, 8)
}
