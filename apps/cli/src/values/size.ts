import { invalidFlag } from './invalid-flag.ts'

const factors: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
}

/** A parser for a size in bytes: a whole number with an optional suffix k, m, g or t (powers of 1024). */
export function size(flag: string): (given: string) => number {
  return (given) => {
    const bytes = parseSize(given)
    if (bytes === undefined)
      throw invalidFlag(flag, given, 'a size in bytes such as 512, 100k, 20M, 4G or 1T')
    return bytes
  }
}

/** Bytes, or undefined when it is not a size. */
export function parseSize(given: string): number | undefined {
  const match = /^(\d{1,15})([bkmgt]?)$/i.exec(given)
  const factor = factors[match?.[2]?.toLowerCase() ?? '']
  if (match === null || factor === undefined) return undefined
  const bytes = Number(match[1]) * factor
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
