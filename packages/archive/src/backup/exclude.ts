import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import { nameToBytes } from '../format/byte-name.ts'
import { compilePatterns, type PathMatcher } from './path-matcher.ts'
import { readPatternFile } from './pattern-file.ts'

/** What the user wants left out, as the options of the backup command say it. All are optional. */
export interface ExcludeOptions {
  /** Patterns, and files of patterns whose lines are appended to them; see `compilePatterns`. */
  readonly excludes?: readonly string[]
  readonly excludeFiles?: readonly string[]
  /** The same, comparing without regard to case. */
  readonly insensitiveExcludes?: readonly string[]
  readonly insensitiveExcludeFiles?: readonly string[]
  /**
   * `name` or `name:header`: of a directory that holds an entry of that name, whose content begins with the header
   * if one is given, only that entry is kept.
   */
  readonly excludeIfPresent?: readonly string[]
  /** The same for `CACHEDIR.TAG` with the signature of the Cache Directory Tagging Standard. */
  readonly excludeCaches?: boolean
  /** Bytes; what is larger and no directory is left out (symbolic links count the length of their target). */
  readonly excludeLargerThan?: number
  /** Directories on another file system than their target are stored empty. Not decided here, only carried. */
  readonly oneFileSystem?: boolean
  /** For `$NAME` in pattern files. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Told of tag files that could not be read or whose content is another: their directories are kept whole. */
  readonly onWarning?: (path: string, message: string) => void
}

/** An entry of a directory as a walk knows it before asking for its status. */
export interface ListedEntry {
  readonly name: string
  /** `d` directory, `f` regular file, `?` not known. */
  readonly kind: 'd' | 'f' | '?'
}

/** What of a directory is backed up. Targets named by the user are never asked about: only what is below them. */
export interface Selection {
  readonly oneFileSystem: boolean
  /** The entries to store, in the order given. `directory` is absolute and clean. */
  select<E extends ListedEntry>(directory: string, entries: readonly E[]): readonly E[]
  /**
   * Why this path would be left out, for messages: the pattern, the tag file or the size; undefined when it is
   * kept. Looks at this path and its directory only, not at those above.
   */
  reason(path: string): string | undefined
}

/**
 * Compiles the options. Reads the pattern files. Throws `InvalidInput` for malformed patterns, unreadable pattern
 * files and tag specifications without a name.
 */
export function openSelection(options: ExcludeOptions): Selection {
  const environment = options.environment ?? {}
  const collect = (patterns: readonly string[] = [], files: readonly string[] = []): readonly string[] => [
    ...patterns,
    ...files.flatMap((file) => readPatternFile(file, environment)),
  ]
  const sensitive = compilePatterns(collect(options.excludes, options.excludeFiles))
  const insensitive = compilePatterns(collect(options.insensitiveExcludes, options.insensitiveExcludeFiles), {
    insensitive: true,
  })
  const matchers = [insensitive, sensitive].filter((matcher) => !matcher.isEmpty)
  const tags = (options.excludeIfPresent ?? []).map(parseTag)
  if (options.excludeCaches === true) tags.push(CACHE_TAG)
  const largest = options.excludeLargerThan ?? Number.POSITIVE_INFINITY
  const warn = options.onWarning ?? (() => undefined)
  return {
    oneFileSystem: options.oneFileSystem === true,
    select: (directory, entries) => {
      const found = tags.length === 0 ? [] : presentTags(tags, directory, { names: entries, warn })
      const within = directory === '/' ? '/' : `${directory}/`
      // Every tag that applies keeps only the entry of its own name.
      const untagged =
        found.length === 0 ? entries : entries.filter((e) => found.every((tag) => tag === e.name))
      const unmatched =
        matchers.length === 0 ? untagged : untagged.filter((e) => !isMatched(matchers, within + e.name))
      if (largest === Number.POSITIVE_INFINITY) return unmatched
      return unmatched.filter((e) => e.kind === 'd' || !isLarger(within + e.name, largest))
    },
    reason: (path) => {
      const pattern = matchers.map((matcher) => matcher.explain(path)).find((text) => text !== undefined)
      if (pattern !== undefined) return `matches the pattern ${JSON.stringify(pattern)}`
      const slash = path.lastIndexOf('/')
      const directory = path.slice(0, slash) || '/'
      const tag = presentTags(tags, directory, { warn: () => undefined }).find(
        (name) => name !== path.slice(slash + 1),
      )
      if (tag !== undefined) return `its directory holds ${tag}`
      return isLarger(path, largest) ? `is larger than ${largest} bytes` : undefined
    },
  }
}

function isMatched(matchers: readonly PathMatcher[], path: string): boolean {
  return matchers.some((matcher) => matcher.matches(path))
}

interface Tag {
  readonly name: string
  /** What its content must begin with; empty when being there is enough. */
  readonly header: Buffer
}

const CACHE_TAG: Tag = {
  name: 'CACHEDIR.TAG',
  header: Buffer.from('Signature: 8a477f597d28d172789f06886806bc55'),
}

function parseTag(specification: string): Tag {
  const colon = specification.indexOf(':')
  const name = colon < 0 ? specification : specification.slice(0, colon)
  if (name === '') {
    throw new HoldfastError(
      'InvalidInput',
      `Found ${JSON.stringify(specification)}, expected the name of a tag file, or name:header.`,
      { guidance: 'Give the name of the file that marks directories to leave out.' },
    )
  }
  return { name, header: Buffer.from(colon < 0 ? '' : specification.slice(colon + 1)) }
}

interface Presence {
  /** The entries of the directory, where they are known; else it is asked for each tag. */
  readonly names?: readonly ListedEntry[]
  readonly warn: (path: string, message: string) => void
}

/** The names of the tags that apply to a directory. */
function presentTags(tags: readonly Tag[], directory: string, { names, warn }: Presence): readonly string[] {
  const applying = tags.filter((tag) => {
    if (names?.every(({ name }) => name !== tag.name) === true) return false
    const path = directory === '/' ? `/${tag.name}` : `${directory}/${tag.name}`
    try {
      lstatSync(nameToBytes(path))
      return hasHeader(path, tag.header, warn)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT') warn(path, `the exclusion tag file cannot be read: ${message}`)
      return false
    }
  })
  return applying.map((tag) => tag.name)
}

function hasHeader(path: string, header: Buffer, warn: Presence['warn']): boolean {
  if (header.length === 0) return true
  const found = Buffer.alloc(header.length)
  // A tag that is a fifo must not hold the backup up until somebody writes to it.
  const file = openSync(nameToBytes(path), constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const length = readSync(file, found, 0, found.length, 0)
    if (length === found.length && found.equals(header)) return true
  } finally {
    closeSync(file)
  }
  warn(path, 'the exclusion tag file begins with something else than was asked for, so the directory is kept')
  return false
}

function isLarger(path: string, largest: number): boolean {
  if (largest === Number.POSITIVE_INFINITY) return false
  try {
    const status = lstatSync(nameToBytes(path))
    return !status.isDirectory() && status.size > largest
  } catch {
    // Whoever reads the entry next reports what is wrong with it.
    return false
  }
}
