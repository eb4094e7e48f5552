import { invalidFlag } from './invalid-flag.ts'

/** A parser for a whole number from `least` to `most`. */
export function wholeNumber(
  flag: string,
  bounds: { readonly least: number; readonly most: number },
): (given: string) => number {
  const { least, most } = bounds
  return (given) => {
    const value = /^\d{1,15}$/.test(given) ? Number(given) : Number.NaN
    if (value >= least && value <= most) return value
    throw invalidFlag(flag, given, `a whole number from ${least} to ${most}`)
  }
}
