import { HoldfastError } from '@holdfast/contract'
import { compilePatterns, type PathMatcher } from '../backup/path-matcher.ts'

/** Whether an entry is restored, and whether anything below it may be. */
export interface Selection {
  readonly selected: boolean
  readonly childMayBeSelected: boolean
}

/** Asked with the path from the root of what is restored, which is '/'. */
export type SelectNode = (path: string, isDirectory: boolean) => Selection

/** Patterns as `compilePatterns` takes them. Includes and excludes are not combined. */
export interface SelectionPatterns {
  readonly include?: readonly string[]
  /** Without regard to case. */
  readonly insensitiveInclude?: readonly string[]
  readonly exclude?: readonly string[]
  readonly insensitiveExclude?: readonly string[]
}

const EVERYTHING: Selection = { selected: true, childMayBeSelected: true }

/**
 * restic's selection: with excludes everything but what matches, and nothing below that; with
 * includes what matches, found by descending wherever a pattern could still match. Throws
 * `InvalidInput` for malformed patterns and for both kinds at once.
 */
export function selectNodes(patterns: SelectionPatterns): SelectNode {
  const includes = compile(patterns.include, patterns.insensitiveInclude)
  const excludes = compile(patterns.exclude, patterns.insensitiveExclude)
  if (includes.length > 0 && excludes.length > 0) {
    throw new HoldfastError('InvalidInput', 'include and exclude patterns cannot be combined', {
      guidance: 'Give one kind; a pattern beginning with ! takes back the matches of those before it.',
    })
  }
  if (excludes.length > 0) {
    return (path) => {
      const selected = !excludes.some((matcher) => matcher.matches(path))
      return { selected, childMayBeSelected: selected }
    }
  }
  if (includes.length === 0) return () => EVERYTHING
  return (path, isDirectory) => {
    const found = includes.map((matcher) => matcher.match(path))
    return {
      selected: found.some(({ matched }) => matched),
      childMayBeSelected: isDirectory && found.some(({ childMayMatch }) => childMayMatch),
    }
  }
}

/** Whether there are any patterns: without, everything is selected. */
export function hasPatterns(patterns: SelectionPatterns): boolean {
  const lists = [patterns.include, patterns.insensitiveInclude, patterns.exclude, patterns.insensitiveExclude]
  return lists.some((list) => list?.some((pattern) => pattern !== '') === true)
}

function compile(
  sensitive: readonly string[] = [],
  insensitive: readonly string[] = [],
): readonly PathMatcher[] {
  const matchers = [compilePatterns(sensitive), compilePatterns(insensitive, { insensitive: true })]
  return matchers.filter((matcher) => !matcher.isEmpty)
}
