import { readFileSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameFromBytes } from '../format/byte-name.ts'
import { isValidPattern } from './path-matcher.ts'

/**
 * Reads a file of patterns as restic does: UTF-8, or UTF-16 with a byte-order mark; one pattern per line without
 * the white space around it; empty lines and those beginning with `#` are passed over; `$NAME` and `${NAME}` stand
 * for the environment's values (an absent one for nothing), `$$` for `$`. Throws `InvalidInput` naming the file,
 * and the line of each malformed pattern.
 */
export function readPatternFile(
  path: string,
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const lines = readText(path).split('\n')
  const patterns: string[] = []
  const bad: string[] = []
  for (const [i, line] of lines.entries()) {
    const trimmed = trimSpace(line)
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const pattern = expandVariables(trimmed, environment)
    patterns.push(pattern)
    if (!isValidPattern(pattern)) bad.push(`line ${i + 1}: ${JSON.stringify(pattern)}`)
  }
  if (bad.length > 0) {
    throw new HoldfastError('InvalidInput', `Malformed patterns in ${path}: ${bad.join('; ')}.`, {
      place: path,
      guidance: 'Close every [ with ], put a character before ] and after \\, or escape them with \\.',
    })
  }
  return patterns
}

function readText(path: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw new HoldfastError('InvalidInput', `The pattern file cannot be read: ${(cause as Error).message}.`, {
      place: path,
      guidance: 'Give a readable file.',
      cause,
    })
  }
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes)
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes)
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  return nameFromBytes(marked ? bytes.subarray(3) : bytes)
}

// Go's unicode.IsSpace; JavaScript's trim knows U+FEFF as well and does not know U+0085.
const SPACES = '[\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+'
const AROUND = new RegExp(`^${SPACES}|${SPACES}$`, 'g')

function trimSpace(line: string): string {
  return line.replace(AROUND, '')
}

// The grammar of Go's os.Expand: a braced name, a special character or digit, or a run of name characters. Braces
// around nothing vanish, so does an opening brace that is never closed; a `$` before anything else stays.
const VARIABLE =
  /\$(?:\{(?<special>[*#$@!?\-0-9])\}|\{(?<braced>[^}]*)\}|(?<brace>\{)|(?<plain>[*#$@!?\-0-9]|\w+))/g

function expandVariables(text: string, environment: Readonly<Record<string, string | undefined>>): string {
  return text.replace(VARIABLE, (...match) => {
    const groups = match.at(-1) as Readonly<Record<string, string | undefined>>
    const name = groups['special'] ?? groups['braced'] ?? groups['plain'] ?? ''
    if (name === '$') return '$'
    return Object.hasOwn(environment, name) ? (environment[name] ?? '') : ''
  })
}
