import type { Hex } from '../format/ids.ts'

/** What the index and the snapshots say about one pack. Byte counts are of sealed blobs. */
export interface PackUse {
  readonly id: Hex
  readonly type: 'data' | 'tree' | 'mixed'
  readonly usedBlobs: number
  readonly unusedBlobs: number
  readonly usedBytes: number
  readonly unusedBytes: number
  /** What the file has besides blobs. */
  readonly headerBytes: number
  /** Some blob is stored without compression. */
  readonly uncompressed: boolean
  /** Some tree that compression would help is stored without it. */
  readonly plainTree: boolean
}

export type PackReason = 'unused' | 'partly unused' | 'mixed' | 'small' | 'uncompressed'

export interface PlannedPack {
  readonly id: Hex
  /** Of the whole file. */
  readonly bytes: number
  readonly usedBlobs: number
  readonly unusedBlobs: number
  readonly unusedBytes: number
  readonly reason: PackReason
}

/** How much unused data may stay. A percentage is of the repository's size after pruning. */
export type UnusedLimit = { readonly percent: number } | { readonly bytes: number } | 'unlimited'

export interface PruneRules {
  readonly maxUnused: UnusedLimit
  /** Stop repacking at this many bytes in total; Infinity for no limit. */
  readonly maxRepackBytes: number
  /** Leave packs of file data as they are, unless nothing in them is used. */
  readonly repackCacheableOnly: boolean
  readonly repackUncompressed: boolean
  /** Packs below this size are put together, if there are at least ten. */
  readonly smallPackBytes: number
  readonly formatVersion: 1 | 2
}

export interface PackDecision {
  readonly remove: readonly PlannedPack[]
  readonly repack: readonly PlannedPack[]
  readonly kept: number
}

interface Candidate extends PlannedPack {
  readonly use: PackUse
}

/** A repack that would only put a handful of small packs together is not worth the traffic. */
const leastSmallPacks = 10

/**
 * What becomes of each pack, by the rules of restic's prune: packs without used blobs go; packs of trees, mixed
 * ones, and those to be compressed are repacked; then those with the largest unused part, until no more is
 * unused than tolerated or enough has been repacked. Pure; the result does not depend on the order given.
 */
export function decidePacks(uses: readonly PackUse[], rules: PruneRules): PackDecision {
  const remove: PlannedPack[] = []
  const candidates: Candidate[] = []
  const small: Candidate[] = []
  let kept = 0
  for (const use of uses.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    const reason = reasonFor(use, rules)
    if (reason === undefined) {
      kept += 1
    } else if (reason === 'unused') {
      remove.push(planned(use, reason))
    } else if (reason === 'small') {
      small.push({ ...planned(use, reason), use })
    } else {
      candidates.push({ ...planned(use, reason), use })
    }
  }
  if (small.length >= leastSmallPacks) {
    candidates.push(...small)
  } else {
    kept += small.length
  }
  const repack = choose(candidates, unusedBytes(uses) - sum(remove, 'unusedBytes'), {
    rules,
    tolerated: toleratedBytes(rules.maxUnused, usedBytes(uses)),
  })
  return {
    remove,
    repack: repack.map(({ use: _use, ...pack }) => pack),
    kept: kept + candidates.length - repack.length,
  }
}

/** Size of the pack's file, as the index has it. */
export function fileBytes(use: PackUse): number {
  return use.usedBytes + use.unusedBytes + use.headerBytes
}

/** How many unused bytes may stay beside `used` bytes that are needed. */
export function toleratedBytes(limit: UnusedLimit, used: number): number {
  if (limit === 'unlimited') {
    return Number.POSITIVE_INFINITY
  }
  if ('bytes' in limit) {
    return limit.bytes
  }
  return limit.percent >= 100 ? Number.POSITIVE_INFINITY : (limit.percent / (100 - limit.percent)) * used
}

function reasonFor(use: PackUse, rules: PruneRules): PackReason | undefined {
  if (use.usedBlobs === 0) {
    return 'unused'
  }
  if (rules.repackCacheableOnly && use.type === 'data') {
    return undefined
  }
  if (mustCompress(use, rules)) {
    return 'uncompressed'
  }
  if (use.type === 'mixed') {
    return 'mixed'
  }
  if (use.unusedBlobs > 0) {
    return 'partly unused'
  }
  return fileBytes(use) < rules.smallPackBytes ? 'small' : undefined
}

function mustCompress(use: PackUse, rules: PruneRules): boolean {
  return rules.formatVersion === 2 && (use.plainTree || (rules.repackUncompressed && use.uncompressed))
}

function choose(
  candidates: readonly Candidate[],
  unusedLeft: number,
  limits: { readonly rules: PruneRules; readonly tolerated: number },
): readonly Candidate[] {
  const { rules, tolerated } = limits
  const chosen: Candidate[] = []
  let unused = unusedLeft
  let repacked = 0
  for (const candidate of candidates.toSorted((a, b) => order(a, b, rules))) {
    const isSmall = candidate.bytes < rules.smallPackBytes
    const always = candidate.use.type !== 'data' || candidate.reason === 'uncompressed'
    const enough = unused < tolerated && !isSmall && !always
    if (enough || repacked + candidate.bytes >= rules.maxRepackBytes) {
      continue
    }
    chosen.push(candidate)
    unused -= candidate.unusedBytes
    repacked += candidate.bytes
  }
  return chosen
}

/** Trees first, then small packs, then by the share that is unused; by id where that is equal. */
function order(a: Candidate, b: Candidate, rules: PruneRules): number {
  const rank = (candidate: Candidate): number => {
    if (candidate.use.type !== 'data') {
      return 0
    }
    return candidate.bytes < rules.smallPackBytes ? 1 : 2
  }
  const share = (candidate: Candidate): number => candidate.unusedBytes / candidate.bytes
  return rank(a) - rank(b) || share(b) - share(a) || (a.id < b.id ? -1 : 1)
}

function planned(use: PackUse, reason: PackReason): PlannedPack {
  return {
    id: use.id,
    bytes: fileBytes(use),
    usedBlobs: use.usedBlobs,
    unusedBlobs: use.unusedBlobs,
    unusedBytes: use.unusedBytes,
    reason,
  }
}

function unusedBytes(uses: readonly PackUse[]): number {
  return sum(uses, 'unusedBytes')
}

function usedBytes(uses: readonly PackUse[]): number {
  return sum(uses, 'usedBytes')
}

function sum<Member extends string>(
  items: readonly Readonly<Record<Member, number>>[],
  member: Member,
): number {
  return items.reduce((total, item) => total + item[member], 0)
}
