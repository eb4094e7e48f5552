import { HoldfastError } from '@holdfast/contract'
import { civilFromDays, daysFromCivil, daysInMonth } from './civil-date.ts'

/** Go's zero time, which a node gets for a time its JSON does not have. */
export const GO_ZERO_TIME = '0001-01-01T00:00:00Z'

/**
 * Nanoseconds since 1970 as Go prints a time in JSON: RFC 3339 in the process's local zone, with the
 * fraction's trailing zeros trimmed and `Z` where the offset is zero. A year outside 0..9999 is set
 * to the nearer bound, month and day kept, as restic does. The zone is taken from the process when
 * first needed; a change of TZ afterwards is not guaranteed to be seen.
 */
export function formatGoTime(ns: bigint): string {
  let seconds = ns / BILLION
  let rest = Number(ns - seconds * BILLION)
  if (rest < 0) {
    rest += 1e9
    seconds -= 1n
  }
  return formatGoTimeOf(Number(seconds), rest)
}

/** `formatGoTime` for whole seconds since 1970 and nanoseconds 0..999,999,999 within the second. */
export function formatGoTimeOf(seconds: number, nanoseconds: number): string {
  const offset = zoneOffset(seconds)
  const local = seconds + offset
  const days = Math.floor(local / 86400)
  if (days < FIRST_DAY || days > LAST_DAY) return formatGoTimeOf(clampYear(seconds, local), nanoseconds)
  const second = local - days * 86400
  const minute = Math.floor(second / 60)
  const hour = Math.floor(minute / 60)
  const clock = `${two(hour)}:${two(minute - hour * 60)}:${two(second - minute * 60)}`
  return dayText(days) + clock + fraction(nanoseconds) + zoneText(offset)
}

/**
 * Nanoseconds since 1970 of a time as `formatGoTime` writes it, in any zone. Throws Damaged for
 * anything that is not RFC 3339 with a four-digit year; digits beyond the ninth of a second are cut.
 */
export function parseGoTime(s: string): bigint {
  const length = s.length > MAX_TEXT ? 0 : SCRATCH.write(s, 'utf8')
  const seconds = parseSeconds(SCRATCH, 0, length)
  if (Number.isNaN(seconds)) throw badTime(s)
  return BigInt(seconds) * BILLION + BigInt(parseFraction(s))
}

/** True when `parseGoTime` would accept the text; cheaper than to try. */
export function isGoTime(s: string): boolean {
  return s.length <= MAX_TEXT && isGoTimeAt(SCRATCH, 0, SCRATCH.write(s, 'utf8'))
}

/** `isGoTime` for text that is still bytes. */
export function isGoTimeAt(bytes: Uint8Array, from: number, to: number): boolean {
  return !Number.isNaN(parseSeconds(bytes, from, to))
}

const BILLION = 1_000_000_000n
const FIRST_DAY = daysFromCivil({ year: 0, month: 1, day: 1 })
const LAST_DAY = daysFromCivil({ year: 9999, month: 12, day: 31 })
const MAX_TEXT = 64
const SCRATCH = Buffer.alloc(4 * MAX_TEXT)

function clampYear(seconds: number, local: number): number {
  const days = Math.floor(local / 86400)
  const date = civilFromDays(days)
  const year = date.year < 0 ? 0 : 9999
  const moved = daysFromCivil({ year, month: date.month, day: date.day }) * 86400 + (local - days * 86400)
  // The zone may keep another offset in the year moved to; the clock on the wall is what stays.
  const guess = moved - (local - seconds)
  return moved - zoneOffset(guess)
}

/** Quarters of an hour are the smallest steps in which zones change today. */
const STEP = 900
let knownFrom = 1
let knownUntil = 0
let knownOffset = 0
const utcOnly = isUtc(new Intl.DateTimeFormat().resolvedOptions().timeZone)

/** Seconds east of UTC at a moment, in the process's zone. */
function zoneOffset(seconds: number): number {
  if (utcOnly) return 0
  if (seconds >= knownFrom && seconds < knownUntil) return knownOffset
  const offset = askOffset(seconds)
  const from = Math.floor(seconds / STEP) * STEP
  if (askOffset(from) === offset && askOffset(from + STEP - 1) === offset) {
    knownFrom = from
    knownUntil = from + STEP
    knownOffset = offset
  }
  return offset
}

function isUtc(zone: string): boolean {
  return zone === 'UTC' || zone === 'Etc/UTC' || zone === 'Etc/UCT' || zone === 'GMT' || zone === 'Etc/GMT'
}

/** Dates end at 8.64e12 s; a zone is asked about times beyond as about that end. */
const DATE_LIMIT = 8.63e12

function askOffset(seconds: number): number {
  const at = Math.max(-DATE_LIMIT, Math.min(DATE_LIMIT, seconds))
  const date = new Date(at * 1000)
  // getTimezoneOffset knows whole minutes only; zones before 1900 have seconds.
  const days = daysFromCivil({ year: date.getFullYear(), month: date.getMonth() + 1, day: date.getDate() })
  return days * 86400 + date.getHours() * 3600 + date.getMinutes() * 60 + date.getSeconds() - at
}

let lastDay = Number.NaN
let lastDayText = ''

function dayText(days: number): string {
  if (days === lastDay) return lastDayText
  const { year, month, day } = civilFromDays(days)
  lastDay = days
  lastDayText = `${year.toString().padStart(4, '0')}-${two(month)}-${two(day)}T`
  return lastDayText
}

const TWO_DIGITS = Array.from({ length: 100 }, (_, i) => i.toString().padStart(2, '0'))

function two(n: number): string {
  return TWO_DIGITS[n] ?? '00'
}

function fraction(nanoseconds: number): string {
  if (nanoseconds === 0) return ''
  let digits = 9
  let value = nanoseconds
  while (value % 10 === 0) {
    value /= 10
    digits--
  }
  return `.${value.toString().padStart(digits, '0')}`
}

function zoneText(offset: number): string {
  if (offset === 0) return 'Z'
  const minutes = Math.trunc(offset / 60)
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`
}

/** Whole seconds since 1970, or NaN when the bytes are not a time. */
function parseSeconds(b: Uint8Array, from: number, to: number): number {
  if (to - from < 20 || to - from > MAX_TEXT || !hasSeparators(b, from)) return Number.NaN
  const year = pair(b, from) * 100 + pair(b, from + 2)
  const month = pair(b, from + 5)
  const day = pair(b, from + 8)
  const hour = pair(b, from + 11)
  const minute = pair(b, from + 14)
  const second = pair(b, from + 17)
  const valid =
    year >= 0 && month >= 1 && month <= 12 && day >= 1 && (day <= 28 || day <= daysInMonth(year, month))
  if (!valid || !(hour < 24 && minute < 60 && second < 60)) return Number.NaN
  const offset = parseZone(b, fractionEnd(b, from + 19), to)
  return daysFromCivil({ year, month, day }) * 86400 + hour * 3600 + minute * 60 + second - offset
}

function hasSeparators(b: Uint8Array, from: number): boolean {
  return (
    b[from + 4] === 0x2d &&
    b[from + 7] === 0x2d &&
    b[from + 10] === 0x54 &&
    b[from + 13] === 0x3a &&
    b[from + 16] === 0x3a
  )
}

/** The number two digits make, or NaN. */
function pair(b: Uint8Array, at: number): number {
  const tens = (b[at] ?? 0) - 0x30
  const ones = (b[at + 1] ?? 0) - 0x30
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}

/** Where the fraction of a second that may begin at `at` ends; -1 when it has no digits. */
function fractionEnd(b: Uint8Array, at: number): number {
  if (b[at] !== 0x2e) return at
  let i = at + 1
  while (isDigit(b[i])) i++
  return i === at + 1 ? -1 : i
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

function parseZone(b: Uint8Array, at: number, to: number): number {
  if (at < 0) return Number.NaN
  const sign = b[at]
  if (sign === 0x5a) return to === at + 1 ? 0 : Number.NaN
  if (to !== at + 6 || (sign !== 0x2b && sign !== 0x2d) || b[at + 3] !== 0x3a) return Number.NaN
  const hours = pair(b, at + 1)
  const minutes = pair(b, at + 4)
  if (!(hours < 24 && minutes < 60)) return Number.NaN
  return (hours * 3600 + minutes * 60) * (sign === 0x2d ? -1 : 1)
}

/** Of text that `parseSeconds` accepted. */
function parseFraction(s: string): number {
  if (s.charCodeAt(19) !== 0x2e) return 0
  const digits = /^[0-9]{1,9}/.exec(s.slice(20))
  return Number((digits?.[0] ?? '0').padEnd(9, '0'))
}

function badTime(s: string): HoldfastError {
  const shown = JSON.stringify(s.length > MAX_TEXT ? `${s.slice(0, MAX_TEXT)}...` : s)
  return new HoldfastError(
    'Damaged',
    `${shown} is not a time, expected RFC 3339 such as 2024-05-06T07:08:09.123Z`,
    {
      retry: 'never',
    },
  )
}
