/** Whether an entry is restored, and whether anything below it may be. */
export interface Selection {
  readonly selected: boolean
  readonly childMayBeSelected: boolean
}

/** Asked with the path from the root of what is restored, which is '/'. */
export type SelectNode = (path: string, isDirectory: boolean) => Selection

/** Matches a path, and tells whether a path below it could match: patterns, compiled. */
export interface PathMatcher {
  matches(path: string): boolean
  childMayMatch(path: string): boolean
}

const EVERYTHING: Selection = { selected: true, childMayBeSelected: true }

/**
 * restic's selection: with excludes everything but what matches, and nothing below that; with
 * includes what matches, found by descending wherever a pattern could still match. Pure.
 */
export function selectNodes(include: PathMatcher | undefined, exclude: PathMatcher | undefined): SelectNode {
  if (exclude !== undefined) {
    return (path) => {
      const selected = !exclude.matches(path)
      return { selected, childMayBeSelected: selected }
    }
  }
  if (include === undefined) return () => EVERYTHING
  return (path, isDirectory) => ({
    selected: include.matches(path),
    childMayBeSelected: isDirectory && include.childMayMatch(path),
  })
}
