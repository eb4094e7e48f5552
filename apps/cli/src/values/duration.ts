import { invalidFlag } from './invalid-flag.ts'

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** A parser for a time span such as 30s, 5m or 1h30m; the value is in milliseconds. */
export function duration(flag: string): (given: string) => number {
  return (given) => {
    if (given === '0') return 0
    if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(given)) {
      throw invalidFlag(flag, given, 'a time span such as 30s, 5m or 1h30m')
    }
    let total = 0
    for (const [, amount, unit] of given.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
      total += Number(amount) * (milliseconds[unit ?? ''] ?? 0)
    }
    return total
  }
}
