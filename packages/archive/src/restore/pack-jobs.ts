import type { BlobRefs } from './blob-refs.ts'

/** One read of consecutive bytes of a pack. */
export interface PackRange {
  readonly offset: number
  readonly length: number
}

/** The references one worker deals with in one go: all in one pack, by offset within it. */
export interface PackJobPlan {
  /** Index into `BlobRefs.packIds`. */
  readonly pack: number
  /** Indices into the references; equal blobs stand beside each other. */
  readonly refs: Uint32Array
}

export interface PackJobLimits {
  /** Sealed bytes of distinct blobs in one job, unless a single blob is larger. */
  readonly sealedBytes: number
  /** Plain bytes written by one job, unless a single target is larger: a blob may belong to a million places. */
  readonly writtenBytes: number
  readonly targets: number
}

/** Where workers read packs themselves: small jobs, so that none of them is left over at the end of a batch. */
export const LOCAL_JOBS: PackJobLimits = {
  sealedBytes: 4 * 1024 * 1024,
  writtenBytes: 64 * 1024 * 1024,
  targets: 2048,
}

/** Where every job costs a request. */
export const REMOTE_JOBS: PackJobLimits = {
  sealedBytes: 16 * 1024 * 1024,
  writtenBytes: 256 * 1024 * 1024,
  targets: 8192,
}

/** Bytes between two needed blobs that are cheaper to read along than to seek or ask for separately. */
export const READ_GAP = 256 * 1024

/**
 * Divides the references not yet in place into jobs: packs in order of first use, within a pack by
 * offset. Pure.
 */
export function planPackJobs(refs: BlobRefs, limits: PackJobLimits = LOCAL_JOBS): readonly PackJobPlan[] {
  const { order, starts } = groupByPack(refs)
  const jobs: PackJobPlan[] = []
  for (let pack = 0; pack < refs.packIds.length; pack++) {
    const inPack = order.subarray(starts[pack], starts[pack + 1])
    sortByOffset(refs, inPack)
    splitPack(refs, { pack, refs: inPack }, limits, jobs)
  }
  return jobs
}

/** Most bytes of one read, unless a single blob is larger: what a worker holds of a pack. */
export const LONGEST_READ = 16 * 1024 * 1024

/** The reads that cover the given blobs (ascending by offset, possibly repeated). Pure. */
export function coalesceReads(
  offsets: Uint32Array,
  lengths: Uint32Array,
  limits: { readonly gap: number; readonly longest: number } = { gap: READ_GAP, longest: LONGEST_READ },
): readonly PackRange[] {
  const ranges: PackRange[] = []
  let start = 0
  let end = -1
  for (let i = 0; i < offsets.length; i++) {
    const offset = offsets[i] ?? 0
    const blobEnd = offset + (lengths[i] ?? 0)
    if (end >= 0 && offset - end < limits.gap && (blobEnd - start <= limits.longest || offset < end)) {
      end = Math.max(end, blobEnd)
      continue
    }
    if (end >= 0) ranges.push({ offset: start, length: end - start })
    start = offset
    end = blobEnd
  }
  if (end >= 0) ranges.push({ offset: start, length: end - start })
  return ranges
}

// Counting sort: a comparison per reference and pack would dominate the planning of small files.
function groupByPack(refs: BlobRefs): { readonly order: Uint32Array; readonly starts: Uint32Array } {
  const starts = new Uint32Array(refs.packIds.length + 1)
  for (let i = 0; i < refs.count; i++) {
    if (refs.inPlace[i] === 0) add(starts, (refs.pack[i] ?? 0) + 1, 1)
  }
  for (let p = 0; p < refs.packIds.length; p++) add(starts, p + 1, starts[p] ?? 0)
  const next = starts.slice()
  const order = new Uint32Array(starts[refs.packIds.length] ?? 0)
  for (let i = 0; i < refs.count; i++) {
    if (refs.inPlace[i] !== 0) continue
    const pack = refs.pack[i] ?? 0
    order[next[pack] ?? 0] = i
    add(next, pack, 1)
  }
  return { order, starts }
}

function add(array: Uint32Array, i: number, amount: number): void {
  array[i] = (array[i] ?? 0) + amount
}

function sortByOffset(refs: BlobRefs, order: Uint32Array): void {
  const offset = refs.packOffset
  let sorted = true
  for (let i = 1; i < order.length && sorted; i++) {
    sorted = (offset[order[i - 1] ?? 0] ?? 0) <= (offset[order[i] ?? 0] ?? 0)
  }
  if (!sorted) order.sort((a, b) => (offset[a] ?? 0) - (offset[b] ?? 0) || a - b)
}

function splitPack(refs: BlobRefs, whole: PackJobPlan, limits: PackJobLimits, jobs: PackJobPlan[]): void {
  const { pack, refs: order } = whole
  let start = 0
  let sealed = 0
  let written = 0
  let lastOffset = -1
  for (let i = 0; i < order.length; i++) {
    const ref = order[i] ?? 0
    const offset = refs.packOffset[ref] ?? 0
    const newSealed = offset === lastOffset ? 0 : (refs.sealedLength[ref] ?? 0)
    const newWritten = refs.plainLength[ref] ?? 0
    const full =
      sealed + newSealed > limits.sealedBytes ||
      written + newWritten > limits.writtenBytes ||
      i - start >= limits.targets
    if (full && i > start) {
      jobs.push({ pack, refs: order.slice(start, i) })
      start = i
      sealed = refs.sealedLength[ref] ?? 0
      written = newWritten
    } else {
      sealed += newSealed
      written += newWritten
    }
    lastOffset = offset
  }
  if (order.length > start) jobs.push({ pack, refs: order.slice(start) })
}
