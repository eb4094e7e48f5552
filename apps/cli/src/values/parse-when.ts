import { invalidFlag } from './invalid-flag.ts'

const expected = "a time such as '2026-11-21 05:30:00', '2026-11-21' or 2026-11-21T05:30:00Z"

/** A parser for a point in time, in the local zone unless it names one; the value is milliseconds since 1970. */
export function parseWhen(flag: string): (given: string) => number {
  return (given) => {
    const match = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d(?:\.\d+)?))?(Z|[+-]\d\d:\d\d)?)?$/.exec(
      given.trim(),
    )
    const [, day, minutes = '00:00', seconds = '00', zone = ''] = match ?? []
    const milliseconds = day === undefined ? Number.NaN : Date.parse(`${day}T${minutes}:${seconds}${zone}`)
    if (Number.isNaN(milliseconds)) throw invalidFlag(flag, given, expected)
    return milliseconds
  }
}
