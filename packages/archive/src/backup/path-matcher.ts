import { posix } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import { type GlobComponent, parseGlobComponent } from './glob-component.ts'

/** The verdict of a list of patterns on a path. */
export interface PathMatch {
  readonly matched: boolean
  /** Whether something below the path may match: always for patterns that do not begin with `/`. */
  readonly childMayMatch: boolean
}

/**
 * A list of patterns, compiled. Pure; about a microsecond per path. Paths are clean (no `//`, `.`, trailing slash),
 * absolute for patterns that begin with `/` to mean anything, and may hold surrogate-escaped bytes.
 */
export interface PathMatcher {
  /** Whether there are no patterns at all; then nothing matches and nothing below may. */
  readonly isEmpty: boolean
  match(path: string): PathMatch
  /** `match(path).matched`, for callers that do not descend by the answer. */
  matches(path: string): boolean
  /** The pattern by which the path matches, as written; undefined when it does not. */
  explain(path: string): string | undefined
}

/**
 * Compiles patterns with the meaning they have for restic: each component in Go's glob syntax; `**` any number of
 * components, none included; a leading `/` anchors at the root, else a pattern may begin at any component; what is
 * below a match matches too; a leading `!` takes back the matches of the patterns before it. Empty patterns are
 * ignored. `insensitive` compares lower case with lower case. Throws `InvalidInput` naming all malformed patterns.
 *
 * One difference: for the path `/` restic says that nothing below may match `/a`; here it may.
 */
export function compilePatterns(
  patterns: readonly string[],
  options: { readonly insensitive?: boolean } = {},
): PathMatcher {
  const bad = patterns.filter((pattern) => !isValidPattern(pattern))
  if (bad.length > 0) {
    throw new HoldfastError(
      'InvalidInput',
      `Malformed patterns: ${bad.map((p) => JSON.stringify(p)).join(', ')}.`,
      {
        guidance: 'Close every [ with ], put a character before ] and after \\, or escape them with \\.',
      },
    )
  }
  const fold = options.insensitive === true ? lowerCase : (text: string): string => text
  const parsed = patterns.filter((text) => text !== '').map((text) => parsePattern(text, fold))
  const groups = groupBySign(parsed)
  const judge = (path: string): PathMatch => {
    const folded = fold(path)
    let verdict: PathMatch = { matched: false, childMayMatch: false }
    for (const group of groups) verdict = group.judge(folded, verdict)
    return verdict
  }
  return {
    isEmpty: parsed.length === 0,
    match: judge,
    matches: (path) => {
      const folded = fold(path)
      const decisive = groups.findLast((group) => group.matches(folded))
      return decisive !== undefined && !decisive.negated
    },
    explain: (path) => {
      const place = placeOf(fold(path))
      const decisive = parsed.findLast((pattern) => matchesPlace(pattern, place))
      return decisive === undefined || decisive.negated ? undefined : decisive.text
    },
  }
}

/** Whether restic would take the pattern. The empty one is valid, and ignored. */
export function isValidPattern(text: string): boolean {
  return (
    text === '' || componentsOf(text).every((part) => part === '**' || parseGlobComponent(part) !== undefined)
  )
}

interface Pattern {
  readonly text: string
  readonly negated: boolean
  readonly absolute: boolean
  /** What stands between the `**`: at least one, any of them may be empty. */
  readonly segments: readonly (readonly GlobComponent[])[]
}

function componentsOf(text: string): readonly string[] {
  const clean = posix.normalize(text.startsWith('!') ? text.slice(1) : text)
  // The root alone means everything below it, as restic has it.
  if (clean === '/') return ['**']
  return clean.replace(/^\/|\/$/g, '').split('/')
}

function parsePattern(text: string, fold: (text: string) => string): Pattern {
  const folded = fold(text)
  const negated = folded.startsWith('!')
  const segments: GlobComponent[][] = [[]]
  for (const part of componentsOf(folded)) {
    const component = part === '**' ? undefined : parseGlobComponent(part)
    if (component === undefined) segments.push([])
    else segments.at(-1)?.push(component)
  }
  return { text, negated, absolute: folded.startsWith('/', negated ? 1 : 0), segments }
}

interface Group {
  readonly negated: boolean
  matches(path: string): boolean
  judge(path: string, before: PathMatch): PathMatch
}

/** Neighbours of one sign are asked together: within them the order does not matter. */
function groupBySign(patterns: readonly Pattern[]): readonly Group[] {
  const groups: Pattern[][] = []
  for (const pattern of patterns) {
    const last = groups.at(-1)
    if (last?.[0]?.negated === pattern.negated) last.push(pattern)
    else groups.push([pattern])
  }
  return groups.map((group) => (group[0]?.negated === true ? negativeGroup(group) : positiveGroup(group)))
}

function negativeGroup(patterns: readonly Pattern[]): Group {
  const matches = compileAny(patterns)
  return {
    negated: true,
    matches,
    judge: (path, before) => (matches(path) ? { matched: false, childMayMatch: false } : before),
  }
}

function positiveGroup(patterns: readonly Pattern[]): Group {
  const matches = compileAny(patterns)
  const anywhere = patterns.some((pattern) => !pattern.absolute)
  const leadsToAny = anywhere ? () => true : compileLeading(patterns)
  return {
    negated: false,
    matches,
    judge: (path, before) => ({
      matched: before.matched || matches(path),
      childMayMatch: before.childMayMatch || leadsToAny(path),
    }),
  }
}

const ASCII = /^[\0-\x7f]*$/

/**
 * One function for "any of these matches". All that can be is put into two regular expressions, or into sets where
 * plain names are many; the rest is asked one by one, as are, for paths that are not ASCII, those whose expressions
 * are exact for ASCII only.
 */
function compileAny(patterns: readonly Pattern[]): (path: string) => boolean {
  const plain = patterns.filter((pattern) => literalOf(pattern) !== undefined)
  const many = plain.length >= MANY ? plain : []
  const others = many.length === 0 ? patterns : patterns.filter((pattern) => literalOf(pattern) === undefined)
  const slow = others.filter((pattern) => expressionOf(pattern) === undefined)
  const fast = others.filter((pattern) => expressionOf(pattern) !== undefined)
  const asciiOnly = fast.filter((pattern) => !isSameForAll(pattern))
  const everyPath = combine(fast.filter(isSameForAll))
  const asciiPath = combine(asciiOnly)
  const byName = many.length === 0 ? undefined : lookUp(many)
  const exactly = (list: readonly Pattern[], path: string): boolean => {
    const place = placeOf(path)
    return list.some((pattern) => matchesPlace(pattern, place))
  }
  return (path) => {
    // The root has an empty component, which the expressions do not foresee.
    if (path === '/') return exactly(patterns, path)
    if (byName?.(path) === true || everyPath?.(path) === true) return true
    if (asciiPath !== undefined && (ASCII.test(path) ? asciiPath(path) : exactly(asciiOnly, path)))
      return true
    return slow.length > 0 && exactly(slow, path)
  }
}

// So many alternatives an expression takes without becoming slower than looking up each part of a path.
const MANY = 32

/** The path, or the one name, that a pattern without special characters stands for. */
function literalOf({ absolute, segments }: Pattern): string | undefined {
  const [head = [], ...more] = segments
  if (more.length > 0 || head.length === 0 || (!absolute && head.length > 1)) return undefined
  return literalHead({ absolute, segments })
}

function literalHead({ absolute, segments }: Pick<Pattern, 'absolute' | 'segments'>): string | undefined {
  const names = (segments[0] ?? []).map((component) => component.literal)
  return names.includes(undefined) ? undefined : `${absolute ? '/' : ''}${names.join('/')}`
}

function lookUp(patterns: readonly Pattern[]): (path: string) => boolean {
  const literals = (absolute: boolean): ReadonlySet<string | undefined> =>
    new Set(patterns.filter((pattern) => pattern.absolute === absolute).map(literalOf))
  const paths = literals(true)
  const names = literals(false)
  return (path) => {
    const absolute = path.startsWith('/')
    return (absolute && hasStart(paths, path)) || hasName(names, path)
  }
}

/** Whether the set holds the path or one above it. */
function hasStart(paths: ReadonlySet<string | undefined>, path: string): boolean {
  if (paths.size === 0) return false
  for (let end = path.indexOf('/', 1); end >= 0; end = path.indexOf('/', end + 1)) {
    if (paths.has(path.slice(0, end))) return true
  }
  return paths.has(path)
}

function hasName(names: ReadonlySet<string | undefined>, path: string): boolean {
  if (names.size === 0) return false
  let start = path.startsWith('/') ? 1 : 0
  for (let end = path.indexOf('/', start); end >= 0; end = path.indexOf('/', start)) {
    if (names.has(path.slice(start, end))) return true
    start = end + 1
  }
  return names.has(path.slice(start))
}

/** One function for "any of these absolute patterns may match below", by the part before their first `**`. */
function compileLeading(patterns: readonly Pattern[]): (path: string) => boolean {
  const heads = patterns.map(literalHead).filter((head) => head !== undefined)
  const ends = new Set(heads)
  const above = new Set(heads.flatMap(pathsAbove))
  const others = patterns.filter((pattern) => literalHead(pattern) === undefined)
  const everywhere = ends.has('/')
  return (path) => {
    if (!path.startsWith('/')) return false
    if (everywhere || path === '/' || above.has(path) || hasStart(ends, path)) return true
    if (others.length === 0) return false
    const place = placeOf(path)
    return others.some((pattern) => leadsTo(pattern, place))
  }
}

function pathsAbove(path: string): readonly string[] {
  const names = path.split('/')
  return names.slice(2).map((_, i) => names.slice(0, i + 2).join('/'))
}

function isSameForAll(pattern: Pattern): boolean {
  return pattern.segments.every((segment) => segment.every((component) => component.sameForAll))
}

function combine(patterns: readonly Pattern[]): ((path: string) => boolean) | undefined {
  const anchored = patterns.filter((pattern) => pattern.absolute).map(expressionOf)
  const floating = patterns.filter((pattern) => !pattern.absolute).map(expressionOf)
  const absolute = anchored.length === 0 ? undefined : new RegExp(`^/(?:${anchored.join('|')})`, 'u')
  const relative = floating.length === 0 ? undefined : new RegExp(`/(?:${floating.join('|')})`, 'u')
  if (absolute === undefined && relative === undefined) return undefined
  return (path) =>
    absolute?.test(path) === true || relative?.test(path.startsWith('/') ? path : `/${path}`) === true
}

/** Behind the `/` before the pattern's first component, up to the end of a component. */
function expressionOf({ segments, absolute }: Pattern): string | undefined {
  // With several `**` a backtracking engine could take time polynomial in the depth, and paths have a least depth.
  if (segments.length > 2) return undefined
  const parts = segments.map((segment) => {
    const expressions = segment.map((component) => component.expression)
    return expressions.includes(undefined) ? undefined : expressions.join('/')
  })
  if (parts.includes(undefined)) return undefined
  // A `**` at the end adds nothing, since what is below a match matches; nor does one before a floating pattern.
  const lastUsed = parts.findLastIndex((part) => part !== '')
  if (lastUsed < 0) return ''
  const used = parts.slice(0, lastUsed + 1).filter((part, i) => part !== '' || (i === 0 && absolute))
  const [head = '', tail] = used
  const gap = head === '' ? '(?:[^/]+/)*' : '/(?:[^/]+/)*'
  return `${tail === undefined ? head : `${head}${gap}${tail}`}(?![^/])`
}

/** A path as its components. */
interface Place {
  readonly absolute: boolean
  readonly names: readonly string[]
}

function placeOf(path: string): Place {
  const absolute = path.startsWith('/')
  return { absolute, names: (absolute ? path.slice(1) : path).split('/') }
}

// Where each `**` may stand for any number of components, restic tries numbers from left to right, up to those the
// path has room for when every later `**` takes one component; so with several, some paths that a plain reading would
// match are not tried: `/a/**/**/b` matches `/a/x/b` but not `/a/b`. Taking each segment at the first place behind the
// one before keeps the numbers as small as can be, which is what the bounds ask for.
function matchesPlace(pattern: Pattern, place: Place): boolean {
  const { absolute, segments } = pattern
  if (absolute && !place.absolute) return false
  const [first = []] = segments
  const lastStart = absolute ? 0 : place.names.length - first.length
  for (let start = 0; start <= lastStart; start++) {
    if (fits(first, place.names, start) && fitsFrom(pattern, place, start + first.length)) return true
  }
  return false
}

/** Whether the segments after the first one find their places from `at` on. */
function fitsFrom({ absolute, segments }: Pattern, place: Place, from: number): boolean {
  const own = segments.reduce((sum, segment) => sum + segment.length, absolute ? 1 : 0)
  const spare = place.names.length + (place.absolute ? 1 : 0) - own - (segments.length - 1)
  let at = from
  let taken = 0
  for (const [wildcard, segment] of segments.slice(1).entries()) {
    while (at <= place.names.length - segment.length && !fits(segment, place.names, at)) {
      at++
      taken++
    }
    if (at > place.names.length - segment.length || taken > spare + wildcard + 1) return false
    at += segment.length
  }
  return true
}

function fits(segment: readonly GlobComponent[], names: readonly string[], at: number): boolean {
  return segment.every((component, i) => {
    const name = names[at + i]
    return name !== undefined && component.matches(name)
  })
}

/** Whether an absolute pattern agrees with an absolute path as far as both go, up to its first `**`. */
function leadsTo({ segments }: Pattern, { names }: Place): boolean {
  return fits((segments[0] ?? []).slice(0, names.length), names, 0)
}

/** Go's strings.ToLower: character by character, without regard to position; what is not UTF-8 becomes U+FFFD. */
function lowerCase(text: string): string {
  if (ASCII.test(text)) return text.toLowerCase()
  return Array.from(text.toWellFormed())
    .map((character) => (character === '\u0130' ? 'i' : character.toLowerCase()))
    .join('')
}
