import { invalidFlag } from './invalid-flag.ts'
import { parseSize } from './size.ts'

/** A part of all packs: the n-th of t fixed parts, or a random part of a share or size. */
export type ReadSubset =
  | { readonly part: number; readonly of: number }
  | { readonly percent: number }
  | { readonly bytes: number }

/** A parser for `n/t`, `2.5%` or `10G`. */
export function parseReadSubset(flag: string): (given: string) => ReadSubset {
  return (given) => {
    const fraction = /^(\d{1,9})\/(\d{1,9})$/.exec(given)
    const [part, of] = [Number(fraction?.[1]), Number(fraction?.[2])]
    if (fraction !== null && part >= 1 && part <= of && of <= 256) return { part, of }
    const percent = Number(/^(\d+(?:\.\d+)?)%$/.exec(given)?.[1])
    if (percent > 0 && percent <= 100) return { percent }
    const bytes = fraction === null ? parseSize(given) : undefined
    if (bytes !== undefined && bytes > 0) return { bytes }
    throw invalidFlag(
      flag,
      given,
      'n/t with n from 1 to t and t up to 256, a share such as 2.5%, or a size such as 10G',
    )
  }
}
