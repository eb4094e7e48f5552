import { HoldfastError } from '@holdfast/contract'
import { damaged, parseJsonText } from './json-document.ts'
import { latin1Slice } from './latin1-slice.ts'

/**
 * A place in JSON bytes. For documents with millions of values of a few known kinds: nothing is
 * allocated but what the caller keeps, and every error names its offset. The bytes must be UTF-8.
 */
export interface Scanner {
  readonly bytes: Buffer
  readonly place: string
  at: number
  /** Of the string read last, quotes excluded. */
  from: number
  to: number
}

export function openScanner(bytes: Uint8Array, place: string): Scanner {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return { bytes: view, place, at: 0, from: 0, to: 0 }
}

/** Moves over white space and tells the next byte, -1 at the end. */
export function peek(s: Scanner): number {
  const { bytes } = s
  while (s.at < bytes.length) {
    const byte = bytes[s.at] ?? 0
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte
    s.at++
  }
  return -1
}

/** Moves over `byte` if it is next. */
export function accept(s: Scanner, byte: number): boolean {
  if (peek(s) !== byte) return false
  s.at++
  return true
}

/** Moves over exactly these bytes if they are next, white space included. */
export function acceptText(s: Scanner, text: Buffer): boolean {
  const { bytes, at } = s
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false
  s.at = at + text.length
  return true
}

/** Moves over `byte`, or throws Damaged. */
export function expect(s: Scanner, byte: number): void {
  if (!accept(s, byte)) throw unexpected(s, `"${String.fromCharCode(byte)}"`)
}

/** Moves over a string and sets `from` and `to` to its bytes as written, escapes and all. */
export function readSpan(s: Scanner): void {
  expect(s, 0x22)
  const { bytes } = s
  let at = s.at
  for (;;) {
    const byte = bytes[at]
    if (byte === 0x22) break
    if (byte === undefined || byte < 0x20) throw unexpected({ ...s, at }, 'the rest of a string')
    at += byte === 0x5c ? 2 : 1
  }
  s.from = s.at
  s.to = at
  s.at = at + 1
}

/** True when the string read last is `text`, an ASCII name that needs no escapes. */
export function spanIs(s: Scanner, text: Buffer): boolean {
  const { bytes, from } = s
  if (s.to - from !== text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[from + i] !== text[i]) return false
  return true
}

/** Reads 64 lower-case hex digits in quotes into 32 bytes. */
export function readId(s: Scanner, into: Uint8Array): void {
  expect(s, 0x22)
  const { bytes } = s
  const from = s.at
  let bad = bytes[from + 64] === 0x22 ? 0 : 0x10
  for (let i = 0; i < 32; i++) {
    const high = HEX[bytes[from + 2 * i] ?? 0] ?? 0x10
    const low = HEX[bytes[from + 2 * i + 1] ?? 0] ?? 0x10
    bad |= (high | low) & 0x10
    into[i] = (high << 4) | low
  }
  if (bad !== 0) throw unexpected(s, '64 lower-case hex digits')
  s.from = from
  s.to = from + 64
  s.at = from + 65
}

/** Reads 64 lower-case hex digits in quotes as the string they are. */
export function readHexText(s: Scanner): string {
  readId(s, SCRATCH)
  return latin1Slice(s.bytes, s.from, s.to)
}

/** Reads a string, escapes resolved; lone surrogates become U+FFFD, as in Go. */
export function readText(s: Scanner): string {
  expect(s, 0x22)
  const { bytes } = s
  const from = s.at
  let all = 0
  let at = from
  for (;;) {
    const byte = bytes[at]
    if (byte === undefined || byte < 0x20 || byte === 0x5c) break
    if (byte === 0x22) {
      s.at = at + 1
      return all < 0x80 ? latin1Slice(bytes, from, at) : bytes.toString('utf8', from, at)
    }
    all |= byte
    at++
  }
  s.at = from - 1
  readSpan(s)
  const value = parseJsonText(bytes.toString('utf8', s.from - 1, s.to + 1), `${s.place}@${s.from - 1}`)
  return String(value).toWellFormed()
}

/** Moves over the string `text` in its quotes, if that is next as it stands and `text` is ASCII. */
export function acceptQuoted(s: Scanner, text: string): boolean {
  const { bytes, at } = s
  const end = at + 1 + text.length
  if (bytes[at] !== 0x22 || bytes[end] !== 0x22) return false
  for (let i = 0; i < text.length; i++) if (bytes[at + 1 + i] !== text.charCodeAt(i)) return false
  s.at = end + 1
  return true
}

/** Reads an integer from 0 to 2^64-1: as a number while it is exact as one, else as a bigint. */
export function readU64(s: Scanner): number | bigint {
  peek(s)
  const { bytes } = s
  const from = s.at
  let at = from
  let value = 0
  for (;;) {
    const digit = (bytes[at] ?? 0) - 0x30
    if (digit < 0 || digit > 9 || at - from > 20) break
    value = value * 10 + digit
    at++
  }
  const next = bytes[at] ?? 0
  const leadingZero = bytes[from] === 0x30 && at - from > 1
  if (at === from || leadingZero || next === 0x2e || (next | 0x20) === 0x65) throw unexpected(s, 'an integer')
  const exact = Number.isSafeInteger(value) ? value : BigInt(bytes.toString('latin1', from, at))
  if (exact > 0xffffffffffffffffn) throw tooLarge(s, 'a number over 18446744073709551615')
  s.at = at
  return exact
}

/** Reads an integer from 0 to 2^32-1. */
export function readU32(s: Scanner): number {
  peek(s)
  const { bytes } = s
  const from = s.at
  let value = 0
  let at = from
  for (;;) {
    const digit = (bytes[at] ?? 0) - 0x30
    if (digit < 0 || digit > 9 || value > 0xffffffff) break
    value = value * 10 + digit
    at++
  }
  const next = bytes[at] ?? 0
  const leadingZero = bytes[from] === 0x30 && at - from > 1
  if (at === from || leadingZero || next === 0x2e || (next | 0x20) === 0x65) throw unexpected(s, 'an integer')
  if (value > 0xffffffff) throw tooLarge(s, 'a number over 4294967295')
  s.at = at
  return value
}

/** Moves over a value of any kind. Throws LimitExceeded when it is nested too deeply. */
export function skipValue(s: Scanner): void {
  // Bit stack of what we are in: true for an object.
  const inside: boolean[] = []
  do {
    if (openOrSkip(s, inside)) continue
    // After a value: close what ends here, or go on to the next one.
    while (inside.length > 0 && !accept(s, 0x2c)) {
      expect(s, inside.pop() === true ? 0x7d : 0x5d)
    }
    if (inside.at(-1) === true) readKey(s)
  } while (inside.length > 0)
}

/** Moves over a member's name and the colon after it. */
export function readKey(s: Scanner): void {
  readSpan(s)
  expect(s, 0x3a)
}

/** Throws Damaged unless only white space is left. */
export function expectEnd(s: Scanner): void {
  if (peek(s) !== -1) throw unexpected(s, 'the end of the document')
}

/** Damaged: what is at the scanner's place instead of what was expected. */
export function unexpected(s: Scanner, expected: string): HoldfastError {
  const found =
    s.at >= s.bytes.length ? 'the end' : JSON.stringify(s.bytes.toString('latin1', s.at, s.at + 20))
  return damaged(`found ${found}, expected ${expected}`, `${s.place}@${s.at}`)
}

const MAX_DEPTH = 64
const SCRATCH = new Uint8Array(32)
const LITERALS: readonly Buffer[] = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')]

const HEX = new Uint8Array(256).fill(0x10)
for (let i = 0; i < 16; i++) HEX['0123456789abcdef'.charCodeAt(i)] = i

/** Steps into a container that is not empty (true), or over anything else (false). */
function openOrSkip(s: Scanner, inside: boolean[]): boolean {
  const byte = peek(s)
  if (byte === 0x7b || byte === 0x5b) {
    s.at++
    if (accept(s, byte + 2)) return false
    if (inside.length >= MAX_DEPTH) throw tooLarge(s, `more than ${MAX_DEPTH} levels`)
    inside.push(byte === 0x7b)
    if (byte === 0x7b) readKey(s)
    return true
  }
  if (byte === 0x22) readSpan(s)
  else skipScalar(s)
  return false
}

function skipScalar(s: Scanner): void {
  const from = s.at
  for (const literal of LITERALS) {
    s.from = from
    s.to = from + literal.length
    if (spanIs(s, literal)) {
      s.at = s.to
      return
    }
  }
  const number = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/.exec(
    s.bytes.toString('latin1', from, from + 400),
  )
  if (number === null) throw unexpected(s, 'a JSON value')
  s.at = from + number[0].length
}

function tooLarge(s: Scanner, what: string): HoldfastError {
  return new HoldfastError('LimitExceeded', `found ${what}, more than is accepted`, {
    place: `${s.place}@${s.at}`,
    retry: 'never',
  })
}
