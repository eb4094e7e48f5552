import { HoldfastError } from '@holdfast/contract'
import { nameFromBytes, nameToBytes } from './byte-name.ts'
import { isPrintable } from './printable.ts'

const PLAIN_ASCII = /^[ !#-[\]-~]*$/

/**
 * A file name the way restic stores it: the body, without the quotes, of Go's strconv.Quote. Bytes
 * that are not UTF-8 become `\xNN`, so that every name survives the JSON around it.
 */
export function goQuoteName(name: string): string {
  if (PLAIN_ASCII.test(name)) return name
  // Escaped bytes that happen to form UTF-8 together must be seen as the character they form.
  return quote(name.isWellFormed() ? name : nameFromBytes(nameToBytes(name)))
}

/**
 * The file name behind `goQuoteName`'s text; accepts every escape of a Go string literal in double
 * quotes. Throws Damaged for anything that is not the body of such a literal.
 */
export function goUnquoteName(quoted: string): string {
  if (!quoted.includes('\\') && !quoted.includes('"') && !quoted.includes('\n')) return quoted
  const out: Buffer[] = []
  let plainFrom = 0
  let i = 0
  while (i < quoted.length) {
    const unit = quoted.charCodeAt(i)
    if (unit === 0x22 || unit === 0x0a) throw badName(quoted, i)
    if (unit !== 0x5c) {
      i++
      continue
    }
    if (i > plainFrom) out.push(Buffer.from(quoted.slice(plainFrom, i), 'utf8'))
    const escape = readEscape(quoted, i + 1)
    out.push(escape.bytes)
    i = escape.next
    plainFrom = i
  }
  out.push(Buffer.from(quoted.slice(plainFrom), 'utf8'))
  return nameFromBytes(Buffer.concat(out))
}

const SHORT = new Map<number, string>([
  [0x07, '\\a'],
  [0x08, '\\b'],
  [0x0c, '\\f'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
  [0x0b, '\\v'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
])

const LETTERS = new Map<string, number>([
  ['a', 0x07],
  ['b', 0x08],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
  ['"', 0x22],
  ['\\', 0x5c],
])

const DIGITS = new Map<string, number>([
  ['x', 2],
  ['u', 4],
  ['U', 8],
])

function quote(name: string): string {
  let out = ''
  for (const char of name) {
    const point = char.codePointAt(0) ?? 0
    out += SHORT.get(point) ?? (isPrintable(point) ? char : escapePoint(point))
  }
  return out
}

function escapePoint(point: number): string {
  if (point >= 0xdc80 && point <= 0xdcff) return `\\x${(point - 0xdc00).toString(16)}`
  if (point < 0x20 || point === 0x7f) return `\\x${point.toString(16).padStart(2, '0')}`
  if (point < 0x10000) return `\\u${point.toString(16).padStart(4, '0')}`
  return `\\U${point.toString(16).padStart(8, '0')}`
}

function readEscape(quoted: string, at: number): { readonly bytes: Buffer; readonly next: number } {
  const kind = quoted.charAt(at)
  const letter = LETTERS.get(kind)
  if (letter !== undefined) return { bytes: Buffer.of(letter), next: at + 1 }
  const octal = /^[0-3][0-7]{2}$/.exec(quoted.slice(at, at + 3))
  if (octal) return { bytes: Buffer.of(Number.parseInt(octal[0], 8)), next: at + 3 }
  const count = DIGITS.get(kind)
  const digits = count === undefined ? '' : quoted.slice(at + 1, at + 1 + count)
  if (count === undefined || digits.length !== count || !/^[0-9a-fA-F]+$/.test(digits))
    throw badName(quoted, at - 1)
  const value = Number.parseInt(digits, 16)
  const next = at + 1 + count
  if (kind === 'x') return { bytes: Buffer.of(value), next }
  if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) throw badName(quoted, at - 1)
  return { bytes: Buffer.from(String.fromCodePoint(value), 'utf8'), next }
}

function badName(quoted: string, at: number): HoldfastError {
  const shown = JSON.stringify(quoted.length > 80 ? `${quoted.slice(0, 80)}...` : quoted)
  return new HoldfastError(
    'Damaged',
    `the name ${shown} has a bad escape at character ${at}, expected a Go string literal`,
    {
      retry: 'never',
      guidance: 'Run check to learn what else is damaged.',
    },
  )
}
