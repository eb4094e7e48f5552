import { nameToBytes } from '../format/byte-name.ts'

/**
 * One component of a pattern (no `/` in it), in the syntax of Go's path/filepath.Match, which restic uses:
 * `*` any bytes, `?` one character, `[a-z]` and `[^a-z]` one character of a class, `\` takes the next character as
 * it is. There is no `[!...]`, no brace, and a leading dot is nothing special.
 */
export interface GlobComponent {
  /** The text when the component has no special character, to be compared as it is. */
  readonly literal: string | undefined
  /** A regular expression (flag `u`) for a whole component; undefined where it could take exponential time. */
  readonly expression: string | undefined
  /**
   * False when the expression and `matches` may disagree on names that are not ASCII: Go moves `*` forward by
   * bytes, so that what follows may match from the middle of a character.
   */
  readonly sameForAll: boolean
  /** Exact, for every name. */
  matches(name: string): boolean
}

/** Parses a component; undefined when Go would call it a bad pattern. */
export function parseGlobComponent(text: string): GlobComponent | undefined {
  if (!/[\\[\]*?]/.test(text)) {
    return { literal: text, expression: escapeText(text), sameForAll: true, matches: (name) => name === text }
  }
  const tokens = readTokens(text)
  if (tokens === undefined) return undefined
  const chunks = splitAtStars(tokens)
  const expression =
    chunks.filter((chunk) => chunk.star).length > MOST_STARS ? undefined : expressionOf(tokens)
  const sameForAll = tokens.every(
    (token) => token.kind === 'star' || (token.kind === 'literal' && !token.escaped),
  )
  const whole = expression === undefined ? undefined : new RegExp(`^(?:${expression})$`, 'u')
  return {
    literal: undefined,
    expression,
    sameForAll,
    matches: (name) => {
      if (whole !== undefined && (sameForAll || ASCII.test(name))) return whole.test(name)
      return matchChunks(chunks, nameToBytes(name))
    },
  }
}

// With more stars a backtracking engine takes time cubic or worse in the length of a name someone else chose.
const MOST_STARS = 2
const ASCII = /^[\0-\x7f]*$/

type Token =
  | { readonly kind: 'star' }
  | { readonly kind: 'any' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly Range[] }
  /** `escaped`: a byte that is not UTF-8, as a lone surrogate. */
  | { readonly kind: 'literal'; readonly text: string; readonly bytes: Buffer; readonly escaped: boolean }

type Range = readonly [low: number, high: number]

function readTokens(text: string): readonly Token[] | undefined {
  const characters = Array.from(text)
  const tokens: Token[] = []
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] as string
    if (character === '*') tokens.push({ kind: 'star' })
    else if (character === '?') tokens.push({ kind: 'any' })
    else if (character === '[') {
      const read = readClass(characters, at + 1)
      if (read === undefined) return undefined
      tokens.push(read.token)
      at = read.end
    } else {
      const taken = character === '\\' ? characters[++at] : character
      if (taken === undefined) return undefined
      tokens.push({ kind: 'literal', text: taken, bytes: nameToBytes(taken), escaped: !taken.isWellFormed() })
    }
  }
  return tokens
}

/** Reads from behind `[`; `end` is the index of the closing bracket. */
function readClass(
  characters: readonly string[],
  start: number,
): { readonly token: Token; readonly end: number } | undefined {
  const negated = characters[start] === '^'
  const ranges: Range[] = []
  let at = negated ? start + 1 : start
  while (characters[at] !== ']' || ranges.length === 0) {
    const low = readBound(characters, at)
    if (low === undefined) return undefined
    let high = low
    if (characters[low.end] === '-') {
      const bound = readBound(characters, low.end + 1)
      if (bound === undefined) return undefined
      high = bound
    }
    ranges.push([low.code, high.code])
    at = high.end
  }
  return { token: { kind: 'class', negated, ranges }, end: at }
}

/** One end of a range. It is never the last of the pattern, as a bracket must follow. */
function readBound(
  characters: readonly string[],
  at: number,
): { readonly code: number; readonly end: number } | undefined {
  const first = characters[at]
  if (first === undefined || first === '-' || first === ']') return undefined
  const taken = first === '\\' ? characters[at + 1] : first
  const end = first === '\\' ? at + 2 : at + 1
  if (taken === undefined || !taken.isWellFormed() || end >= characters.length) return undefined
  return { code: taken.codePointAt(0) ?? 0, end }
}

/** What stands between stars; `star` says that one or more stand before. */
interface Chunk {
  readonly star: boolean
  readonly tokens: readonly Token[]
}

function splitAtStars(tokens: readonly Token[]): readonly Chunk[] {
  const chunks: { star: boolean; tokens: Token[] }[] = []
  let current = { star: false, tokens: [] as Token[] }
  for (const token of tokens) {
    if (token.kind !== 'star') {
      current.tokens.push(token)
      continue
    }
    if (current.tokens.length > 0) chunks.push(current)
    current = { star: true, tokens: [] }
  }
  chunks.push(current)
  return chunks
}

function expressionOf(tokens: readonly Token[]): string {
  return tokens
    .map((token, i) => {
      if (token.kind === 'star') return tokens[i - 1]?.kind === 'star' ? '' : '[^/]*'
      if (token.kind === 'any') return '[^/]'
      return token.kind === 'literal' ? escapeText(token.text) : classExpression(token)
    })
    .join('')
}

function classExpression(token: Extract<Token, { kind: 'class' }>): string {
  // Go allows a range whose ends are the wrong way round; it holds nothing.
  const ranges = token.ranges.filter(([low, high]) => low <= high)
  const inside = ranges.map(([low, high]) => `\\u{${low.toString(16)}}-\\u{${high.toString(16)}}`).join('')
  if (token.negated) return `[^/${inside}]`
  return inside === '' ? '(?!)' : `(?!/)[${inside}]`
}

function escapeText(text: string): string {
  return text.replace(/[\^$\\.*+?()[\]{}|/]/g, '\\$&')
}

// Each chunk is taken at the first place where it fits, and never moved again: the rule of Go, byte by byte.
function matchChunks(chunks: readonly Chunk[], name: Uint8Array): boolean {
  let at = 0
  for (const [i, { star, tokens }] of chunks.entries()) {
    const last = i === chunks.length - 1
    if (star && tokens.length === 0) return true
    const furthest = star ? name.length : at
    let end = -1
    for (; at <= furthest && end < 0; at++) {
      const reached = matchTokens(tokens, name, at)
      if (reached >= 0 && (!last || reached === name.length)) end = reached
    }
    if (end < 0) return false
    at = end
  }
  return at === name.length
}

/** Where the tokens end when they match from `at`, else -1. */
function matchTokens(tokens: readonly Token[], name: Uint8Array, at: number): number {
  for (const token of tokens) {
    if (at >= name.length) return -1
    if (token.kind === 'literal') {
      for (const byte of token.bytes) if (name[at++] !== byte) return -1
      continue
    }
    const { rune, size } = runeAt(name, at)
    at += size
    if (token.kind !== 'class') continue
    if (token.ranges.some(([low, high]) => low <= rune && rune <= high) === token.negated) return -1
  }
  return at
}

const INVALID = { rune: 0xfffd, size: 1 } as const
/** Lead bytes of sequences of 2, 3 and 4 bytes begin here; the lowest value each may encode. */
const SEQUENCES = [
  { lead: 0xc0, last: 0xdf, size: 2, lowest: 0x80 },
  { lead: 0xe0, last: 0xef, size: 3, lowest: 0x800 },
  { lead: 0xf0, last: 0xf7, size: 4, lowest: 0x10000 },
] as const

/** The character at an index; a byte that begins no valid UTF-8 sequence is U+FFFD of size 1, as in Go. */
function runeAt(bytes: Uint8Array, at: number): { readonly rune: number; readonly size: number } {
  const first = bytes[at] ?? 0
  if (first < 0x80) return { rune: first, size: 1 }
  const sequence = SEQUENCES.find(({ lead, last }) => first >= lead && first <= last)
  if (sequence === undefined) return INVALID
  let rune = first - sequence.lead
  for (let i = 1; i < sequence.size; i++) {
    const next = bytes[at + i] ?? 0
    if (next < 0x80 || next > 0xbf) return INVALID
    rune = rune * 64 + (next - 0x80)
  }
  const valid = rune >= sequence.lowest && rune <= 0x10ffff && !(rune >= 0xd800 && rune <= 0xdfff)
  return valid ? { rune, size: sequence.size } : INVALID
}
