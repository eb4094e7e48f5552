import { parseGoTime } from '../format/go-time.ts'
import type { RetentionDuration } from './retention-duration.ts'

/** Offset from UTC, in seconds, that the process's zone had at `epochMs`. */
export type ZoneOffset = (epochMs: number) => number

/** A moment together with the zone it was written in, as Go's time package keeps it. */
export interface ZonedTime {
  readonly epochNs: bigint
  readonly offsetAt: ZoneOffset
}

/** The wall clock of a moment in its own zone. `week` is the ISO 8601 week and `weekYear` its year. */
export interface WallClock {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly weekYear: number
  readonly week: number
}

const msPerDay = 86_400_000
const nsPerMs = 1_000_000n

/** The zone this process runs in. */
export const processZone: ZoneOffset = (epochMs) => {
  const minutes = new Date(epochMs).getTimezoneOffset()
  return Number.isNaN(minutes) ? 0 : -minutes * 60
}

/**
 * Reads an RFC 3339 time and keeps its zone by Go's rule: `Z` is UTC; an offset that equals the one the
 * local zone had at that moment means the local zone (so calendar arithmetic follows its daylight saving
 * time); any other offset is fixed.
 */
export function zonedTime(text: string, local: ZoneOffset): ZonedTime {
  const epochNs = parseGoTime(text)
  const zone = /([+-])(\d\d):(\d\d)$/.exec(text)
  if (zone === null) {
    return { epochNs, offsetAt: () => 0 }
  }
  const offset = (zone[1] === '-' ? -1 : 1) * (Number(zone[2]) * 3600 + Number(zone[3]) * 60)
  return { epochNs, offsetAt: local(toMs(epochNs)) === offset ? local : () => offset }
}

/** What a clock on the wall showed, in the zone of the time itself. */
export function wallClock(time: ZonedTime): WallClock {
  const epochMs = toMs(time.epochNs)
  const wall = new Date(epochMs + time.offsetAt(epochMs) * 1000)
  const thursday = new Date(wall.getTime() + (4 - (wall.getUTCDay() || 7)) * msPerDay)
  const weekYear = thursday.getUTCFullYear()
  const dayOfYear = Math.floor((thursday.getTime() - utcMs(weekYear, 0, 1)) / msPerDay)
  return {
    year: wall.getUTCFullYear(),
    month: wall.getUTCMonth() + 1,
    day: wall.getUTCDate(),
    hour: wall.getUTCHours(),
    weekYear,
    week: Math.floor(dayOfYear / 7) + 1,
  }
}

/**
 * The moment `duration` before `time`: years, months and days are taken from the wall clock (31 March less
 * one month is 3 March, as in Go), hours from the resulting moment. Nanoseconds since the epoch.
 */
export function subtractDuration(time: ZonedTime, duration: RetentionDuration): bigint {
  const epochMs = toMs(time.epochNs)
  const belowMs = time.epochNs - BigInt(epochMs) * nsPerMs
  const wall = new Date(epochMs + time.offsetAt(epochMs) * 1000)
  const midnight = utcMs(
    wall.getUTCFullYear() - duration.years,
    wall.getUTCMonth() - duration.months,
    wall.getUTCDate() - duration.days,
  )
  const shifted = midnight + (wall.getTime() - Math.floor(wall.getTime() / msPerDay) * msPerDay)
  // Go looks the zone up twice: once with the wall clock taken as UTC, once corrected by that guess.
  const guess = time.offsetAt(shifted)
  const moment = guess === 0 ? shifted : shifted - time.offsetAt(shifted - guess * 1000) * 1000
  return BigInt(moment) * nsPerMs + belowMs - BigInt(duration.hours) * 3_600_000n * nsPerMs
}

function toMs(epochNs: bigint): number {
  const truncated = epochNs / nsPerMs
  return Number(epochNs < 0n && truncated * nsPerMs !== epochNs ? truncated - 1n : truncated)
}

/** Date.UTC reads the years 0 to 99 as 1900 to 1999; this does not. */
function utcMs(year: number, month: number, day: number): number {
  return new Date(0).setUTCFullYear(year, month, day)
}
