import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'

/** Which packs to read: all, part n of t (fixed by the pack's name), or a random share by percent or bytes. */
export type ReadData =
  | 'all'
  | { readonly part: number; readonly of: number }
  | { readonly percent: number }
  | { readonly bytes: number }

export interface SizedPack {
  readonly id: Hex
  readonly size: number
}

/**
 * The packs of a subset. `n/t` takes the packs whose first byte, modulo t, is n - 1, so that t runs read
 * everything; a share takes packs at random, at least one. `random` gives numbers from 0 up to below 1.
 */
export function chooseSubset<Pack extends SizedPack>(
  packs: readonly Pack[],
  wanted: ReadData,
  random: () => number,
): readonly Pack[] {
  if (wanted === 'all') {
    return packs
  }
  if ('of' in wanted) {
    return packs.filter(({ id }) => Number.parseInt(id.slice(0, 2), 16) % wanted.of === wanted.part - 1)
  }
  const total = packs.reduce((sum, { size }) => sum + size, 0)
  const percent = 'percent' in wanted ? wanted.percent : (wanted.bytes / Math.max(1, total)) * 100
  const count = Math.max(1, Math.floor((packs.length * Math.min(100, percent)) / 100))
  return shuffled(packs, random).slice(0, count)
}

/** Reads `n/t`, `x%`, or bytes with K, M, G or T. Throws InvalidInput. */
export function parseReadDataSubset(text: string): ReadData {
  const part = /^([0-9]+)\/([0-9]+)$/.exec(text)
  if (part !== null) {
    const [n, of] = [Number(part[1]), Number(part[2])]
    if (n >= 1 && n <= of && of <= 256) {
      return { part: n, of }
    }
    throw invalid(text, 'the part must be at least 1 and at most the number of parts, which is at most 256')
  }
  if (text.endsWith('%')) {
    const percent = Number(text.slice(0, -1))
    if (/^[0-9]+(\.[0-9]+)?%$/.test(text) && percent > 0 && percent <= 100) {
      return { percent }
    }
    throw invalid(text, 'the percentage must be over 0 and at most 100')
  }
  const size = /^([0-9]+)([kKmMgGtT]?)[bB]?$/.exec(text)
  const bytes = size === null ? 0 : Number(size[1]) * 1024 ** ' kmgt'.indexOf((size[2] || ' ').toLowerCase())
  if (bytes > 0 && Number.isSafeInteger(bytes)) {
    return { bytes }
  }
  throw invalid(text, 'expected a part as 1/10, a percentage as 2.5%, or a size as 50M')
}

function shuffled<Item>(items: readonly Item[], random: () => number): readonly Item[] {
  const keyed = items.map((item) => ({ item, key: random() }))
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item)
}

function invalid(text: string, why: string): HoldfastError {
  return new HoldfastError('InvalidInput', `the subset "${text}" cannot be used: ${why}`, {
    guidance: 'Give the subset as 1/10, 2.5% or 50M.',
  })
}
