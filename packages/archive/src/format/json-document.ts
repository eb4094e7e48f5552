import { isUtf8 } from 'node:buffer'
import { HoldfastError } from '@holdfast/contract'
import { type Hex, isHex } from './ids.ts'

/** A JSON object whose members nobody has looked at yet. */
export type JsonObject = Readonly<Record<string, unknown>>

/** Where in which document: a file name or blob id, and a JSON pointer into it. */
export interface At {
  readonly place: string
  readonly pointer: string
}

/**
 * Parses a document whose top is an object. Integers too big for a double become bigint, so none is
 * rounded. Throws LimitExceeded over `maxBytes`, Damaged for anything else that is not such a document.
 */
export function parseJsonObject(bytes: Uint8Array, place: string, maxBytes: number): JsonObject {
  const text = readJsonText(bytes, place, maxBytes)
  const value = parseJsonText(text, place)
  return asObject(hasLongNumber(text) ? parseJsonExactly(text, place) : value, place)
}

/** The text of a document. Throws LimitExceeded over `maxBytes`, Damaged when it is not UTF-8. */
export function readJsonText(bytes: Uint8Array, place: string, maxBytes: number): string {
  if (bytes.length > maxBytes) {
    const message = `the document has ${bytes.length} bytes, at most ${maxBytes} are accepted`
    throw new HoldfastError('LimitExceeded', message, { place, retry: 'never' })
  }
  if (!isUtf8(bytes)) throw damaged('the document is not UTF-8, expected JSON', place)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

/** JSON.parse that throws HoldfastError. Numbers past 2^53 are rounded: see `parseJsonExactly`. */
export function parseJsonText(text: string, place: string): unknown {
  return guarded(place, () => JSON.parse(text))
}

/** Parses with every integer that a double would round as a bigint. Several times slower. */
export function parseJsonExactly(text: string, place: string): unknown {
  const reviver = (_key: string, value: unknown, context: SourceContext): unknown =>
    typeof value === 'number' && !Number.isSafeInteger(value) ? exact(value, context.source) : value
  return guarded(place, () =>
    JSON.parse(text, reviver as (this: unknown, key: string, value: unknown) => unknown),
  )
}

/** True when a number in the text may be past what a double holds exactly. */
export function hasLongNumber(text: string): boolean {
  return /[0-9]{16}/.test(text)
}

/** The value if it is an object, else Damaged. */
export function asObject(value: unknown, place: string): JsonObject {
  if (isObject(value)) return value
  throw damaged(`found ${kindOf(value)}, expected a JSON object`, place)
}

/** True for what JSON calls an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A required string. Lone surrogates from `\ud800` escapes become U+FFFD, as in Go. */
export function readString(from: JsonObject, key: string, at: At): string {
  const value = from[key]
  if (typeof value !== 'string') throw mismatch(value, 'a string', at, key)
  return value.toWellFormed()
}

/** A string that is '' when absent or null. */
export function readOptionalString(from: JsonObject, key: string, at: At): string {
  return from[key] === undefined || from[key] === null ? '' : readString(from, key, at)
}

/** A required integer between bounds, both included. */
export function readInteger(from: JsonObject, key: string, at: At, bounds: Bounds): number {
  const value = from[key]
  if (typeof value === 'bigint') throw tooBig(value, at, key)
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw mismatch(value, 'an integer', at, key)
  if (value < bounds.min || value > bounds.max) {
    throw mismatch(value, `an integer from ${bounds.min} to ${bounds.max}`, at, key)
  }
  return value
}

/** An integer that is 0 when absent or null. */
export function readOptionalInteger(from: JsonObject, key: string, at: At, bounds: Bounds): number {
  return from[key] === undefined || from[key] === null ? 0 : readInteger(from, key, at, bounds)
}

export interface Bounds {
  readonly min: number
  readonly max: number
}

export const U32: Bounds = { min: 0, max: 0xffffffff }
/** Unsigned 64-bit values of which we keep only what a double holds exactly. */
export const SAFE_UNSIGNED: Bounds = { min: 0, max: Number.MAX_SAFE_INTEGER }

/** A required array of strings; null counts as empty, as Go writes an empty slice. */
export function readStrings(from: JsonObject, key: string, at: At): readonly string[] {
  const value = from[key]
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw mismatch(value, 'an array of strings', at, key)
  return value.map((element: unknown, i) => {
    if (typeof element !== 'string') throw mismatch(element, 'a string', at, `${key}/${i}`)
    return element.toWellFormed()
  })
}

/** A required id of 64 hex digits. */
export function readHex(from: JsonObject, key: string, at: At): Hex {
  const value = from[key]
  if (typeof value !== 'string' || !isHex(value)) throw mismatch(value, '64 lower-case hex digits', at, key)
  return value
}

/** Required bytes in padded base64, as Go's encoding/json writes []byte. */
export function readBase64(from: JsonObject, key: string, at: At): Buffer {
  const value = from[key]
  if (typeof value !== 'string') throw mismatch(value, 'a base64 string', at, key)
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value) throw mismatch(value, 'a base64 string', at, key)
  return bytes
}

/**
 * The members not in `known`, or undefined when there are none. Bounded in depth, so that writing
 * them again cannot exhaust the stack.
 */
export function readExtra(from: JsonObject, known: ReadonlySet<string>, at: At): JsonObject | undefined {
  const unknown = Object.entries(from).filter(([key]) => !known.has(key))
  if (unknown.length === 0) return undefined
  for (const [key, value] of unknown) checkDepth(value, at, key)
  return Object.fromEntries(unknown)
}

/** Damaged, with the place and the pointer to the member. */
export function mismatch(value: unknown, expected: string, at: At, key: string): HoldfastError {
  return damaged(
    `found ${show(value)}, expected ${expected}`,
    `${at.place}#${at.pointer}/${escapeToken(key)}`,
  )
}

/** Damaged at a place already complete. */
export function damaged(message: string, place: string, cause?: unknown): HoldfastError {
  return new HoldfastError('Damaged', message, { place, retry: 'never', guidance: GUIDANCE, cause })
}

const GUIDANCE = 'Run check to learn what else is damaged, then repair or restore the file from a copy.'
const MAX_EXTRA_DEPTH = 64

function guarded(place: string, parse: () => unknown): unknown {
  try {
    return parse()
  } catch (error) {
    if (error instanceof SyntaxError)
      throw damaged('the document is not valid JSON', `${place}${offsetOf(error)}`, error)
    const message = 'the document is nested too deeply or too large to parse'
    throw new HoldfastError('LimitExceeded', message, { place, retry: 'never', cause: error })
  }
}

interface SourceContext {
  readonly source?: string
}

/** The longest integer of interest is that of a u64. */
function exact(value: number, source: string | undefined): unknown {
  return source !== undefined && /^-?[0-9]{1,20}$/.test(source) ? BigInt(source) : value
}

function offsetOf(error: unknown): string {
  const found = /position (\d+)/.exec(error instanceof Error ? error.message : '')
  return found?.[1] === undefined ? '' : `@${found[1]}`
}

function checkDepth(value: unknown, at: At, key: string): void {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_EXTRA_DEPTH) {
      const place = `${at.place}#${at.pointer}/${escapeToken(key)}`
      throw new HoldfastError('LimitExceeded', `an unknown member is nested deeper than ${MAX_EXTRA_DEPTH}`, {
        place,
        retry: 'never',
      })
    }
    const next: unknown[] = []
    for (const one of level) {
      if (typeof one === 'object' && one !== null) for (const child of Object.values(one)) next.push(child)
    }
    level = next
  }
}

function tooBig(value: bigint, at: At, key: string): HoldfastError {
  const place = `${at.place}#${at.pointer}/${escapeToken(key)}`
  return new HoldfastError(
    'LimitExceeded',
    `found ${value}, at most ${Number.MAX_SAFE_INTEGER} is accepted`,
    { place, retry: 'never' },
  )
}

function escapeToken(key: string): string {
  return (key.length > 100 ? `${key.slice(0, 100)}...` : key).replaceAll('~', '~0')
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value)
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value)
  return kindOf(value)
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
