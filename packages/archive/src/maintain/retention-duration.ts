import { HoldfastError } from '@holdfast/contract'

/** A calendar span as restic writes it: `2y5m7d3h`. Every part is a non-negative whole number. */
export interface RetentionDuration {
  readonly years: number
  readonly months: number
  readonly days: number
  readonly hours: number
}

const units = { y: 'years', m: 'months', d: 'days', h: 'hours' } as const
const maxNumber = 1_000_000

/**
 * Reads `2y5m7d3h`: parts in any order, each optional, a repeated unit takes the last value (as restic does).
 * Throws InvalidInput for anything else, for negative numbers and for numbers over a million.
 */
export function parseRetentionDuration(text: string): RetentionDuration {
  const result = { years: 0, months: 0, days: 0, hours: 0 }
  let rest = text.trim()
  while (rest !== '') {
    const part = /^([0-9]+)([ymdh])/.exec(rest)
    if (part?.[1] === undefined) {
      throw invalid(text, rest)
    }
    const value = Number(part[1])
    if (value > maxNumber) {
      throw invalid(text, rest)
    }
    result[units[part[2] as keyof typeof units]] = value
    rest = rest.slice(part[0].length)
  }
  return result
}

/** The same span as text, empty for a zero span. */
export function formatRetentionDuration(duration: RetentionDuration): string {
  return Object.entries(units)
    .map(([letter, member]) => (duration[member] === 0 ? '' : `${duration[member]}${letter}`))
    .join('')
}

/** True when no part is set: the rule that carries it is then switched off. */
export function isZeroDuration(duration: RetentionDuration | undefined): boolean {
  return duration === undefined || formatRetentionDuration(duration) === ''
}

function invalid(text: string, rest: string): HoldfastError {
  return new HoldfastError(
    'InvalidInput',
    `the duration "${text}" cannot be read at "${rest}"; expected whole numbers followed by y, m, d or h, as in 1y6m14d12h`,
    { guidance: 'Write the duration as years, months, days and hours, for example 2y5m7d3h.' },
  )
}
