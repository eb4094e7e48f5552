const PLAIN = /^[ !#-%'-;=?-[\]-\u2027\u202a-\ud7ff\ue000-\uffff]*$/

/**
 * A string as Go's encoding/json writes it, quotes included: `<`, `>`, `&`, U+2028 and U+2029 are
 * escaped, `\b` and `\f` are short (Go 1.22 and later), other controls are `\u00xx`, and what is not
 * UTF-8 (each lone surrogate, see `nameFromBytes`) becomes the six characters `\ufffd`.
 */
export function goJsonString(s: string): string {
  return PLAIN.test(s) ? `"${s}"` : `"${escapeAll(s)}"`
}

/**
 * JSON of a value that JSON.parse made, with Go's escaping; a bigint is written as the integer it is.
 * Numbers other than integers are written as JavaScript prints them.
 */
export function encodeUnknownJson(value: unknown): string {
  const raw = (_key: string, v: unknown): unknown => (typeof v === 'bigint' ? rawJson(v.toString()) : v)
  return JSON.stringify(value, raw).replace(/[<>&\u2028\u2029]/g, unicodeEscape)
}

const SHORT = new Map<number, string>([
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
])

function escapeAll(s: string): string {
  let out = ''
  for (const char of s) {
    const point = char.codePointAt(0) ?? 0
    if (point >= 0xd800 && point <= 0xdfff) out += '\\ufffd'
    else out += SHORT.get(point) ?? (needsUnicodeEscape(point) ? unicodeEscape(char) : char)
  }
  return out
}

function needsUnicodeEscape(point: number): boolean {
  return point < 0x20 || point === 0x3c || point === 0x3e || point === 0x26 || (point | 1) === 0x2029
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function rawJson(text: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text)
}
