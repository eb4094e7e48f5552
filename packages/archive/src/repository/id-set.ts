/**
 * A set of blob ids shared by threads without locks. It only grows. Each segment is one
 * SharedArrayBuffer: a hash table of entry numbers and, behind it, the ids themselves; segments are
 * added as the set fills, since a table in use by others cannot be rehashed under them.
 *
 * Two threads that add the same id at the same moment to different segments may both be told it was
 * new. That stores a blob twice, which the format allows; it never loses one.
 */
export interface IdSet {
  /** True when `id` (32 bytes at `offset`) was not in the set and now is. When all segments are full, always true. */
  add(id: Buffer, offset?: number): boolean
  has(id: Buffer, offset?: number): boolean
  /** Makes room: adds a segment made by `idSetSegment`, the same one in every thread. */
  addSegment(segment: SharedArrayBuffer): void
  /** True when the newest segment is more than half full, so that another should be made. */
  wantsSegment(): boolean
  readonly segments: readonly SharedArrayBuffer[]
}

const WORDS_PER_ID = 8
const HEADER_WORDS = 2 // count, capacity

interface Segment {
  readonly buffer: SharedArrayBuffer
  readonly words: Int32Array
  readonly capacity: number
  readonly mask: number
  /** Index of the first word of the ids. */
  readonly ids: number
}

/** Memory for `capacity` ids: 32 bytes each and 8 to 16 of table. Pages cost nothing until touched. */
export function idSetSegment(capacity: number): SharedArrayBuffer {
  const slots = slotsFor(capacity)
  const buffer = new SharedArrayBuffer((HEADER_WORDS + slots + capacity * WORDS_PER_ID) * 4)
  new Int32Array(buffer)[1] = capacity
  return buffer
}

export function openIdSet(buffers: readonly SharedArrayBuffer[]): IdSet {
  const segments = buffers.map(openSegment)
  const id = new Int32Array(WORDS_PER_ID)
  const load = (bytes: Buffer, offset: number): void => {
    for (let i = 0; i < WORDS_PER_ID; i++) id[i] = bytes.readInt32LE(offset + i * 4)
  }
  return {
    get segments() {
      return segments.map((s) => s.buffer)
    },
    add(bytes, offset = 0) {
      load(bytes, offset)
      const newest = segments.at(-1)
      for (const older of segments) if (older !== newest && contains(older, id)) return false
      return newest === undefined || insert(newest, id)
    },
    has(bytes, offset = 0) {
      load(bytes, offset)
      return segments.some((segment) => contains(segment, id))
    },
    addSegment: (buffer) => void segments.push(openSegment(buffer)),
    wantsSegment() {
      const newest = segments.at(-1)
      return newest === undefined || Atomics.load(newest.words, 0) * 2 > newest.capacity
    },
  }
}

function slotsFor(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(16, capacity * 2)))
}

function openSegment(buffer: SharedArrayBuffer): Segment {
  const words = new Int32Array(buffer)
  const capacity = word(words, 1)
  const slots = slotsFor(capacity)
  return { buffer, words, capacity, mask: slots - 1, ids: HEADER_WORDS + slots }
}

function contains(segment: Segment, id: Int32Array): boolean {
  for (let slot = word(id, 0) & segment.mask; ; slot = (slot + 1) & segment.mask) {
    const entry = Atomics.load(segment.words, HEADER_WORDS + slot) - 1
    if (entry < 0) return false
    if (entryIs(segment, entry, id)) return true
  }
}

// The entry is written before its number is published in a slot, so whoever sees the number sees the id.
function insert(segment: Segment, id: Int32Array): boolean {
  let mine = -1
  for (let slot = word(id, 0) & segment.mask; ; ) {
    const at = HEADER_WORDS + slot
    const entry = Atomics.load(segment.words, at) - 1
    if (entry >= 0) {
      if (entryIs(segment, entry, id)) return false
      slot = (slot + 1) & segment.mask
      continue
    }
    if (mine < 0) {
      mine = Atomics.add(segment.words, 0, 1)
      if (mine >= segment.capacity) {
        Atomics.sub(segment.words, 0, 1)
        return true
      }
      segment.words.set(id, segment.ids + mine * WORDS_PER_ID)
    }
    if (Atomics.compareExchange(segment.words, at, 0, mine + 1) === 0) return true
  }
}

function entryIs(segment: Segment, entry: number, id: Int32Array): boolean {
  const start = segment.ids + entry * WORDS_PER_ID
  for (let i = 0; i < WORDS_PER_ID; i++) if (segment.words[start + i] !== id[i]) return false
  return true
}

function word(words: Int32Array, index: number): number {
  return words[index] ?? 0
}
