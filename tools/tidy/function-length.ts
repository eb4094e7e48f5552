import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

/** A function is read on one screen. */
const linesMax = 70

/**
 * Functions that were already longer when the rule came, as `path#name`, with their length. The list may only
 * shrink: an entry that grew, or that is no longer needed, is itself a finding.
 */
const longFunctions: Readonly<Record<string, number>> = {}

export function functionLength(workspace: Workspace): readonly Finding[] {
  return functionLengthWithDebt(workspace, longFunctions)
}

/** The rule with its list as an argument, for its own test. */
export function functionLengthWithDebt(
  workspace: Workspace,
  debt: Readonly<Record<string, number>>,
): readonly Finding[] {
  const seen = new Set<string>()
  const grown = workspace.sources.flatMap(({ path, functions }) =>
    functions.flatMap(({ name, line, lines }) => {
      const key = `${path}#${name}`
      const allowed = debt[key] ?? linesMax
      if (lines > linesMax) seen.add(key)
      if (lines === allowed || lines <= linesMax) return []
      const advice = lines < allowed ? `lower its entry from ${allowed} to ${lines}` : `at most ${allowed}`
      return [{ rule: 'function-length', path, line, message: `${name} has ${lines} lines: ${advice}` }]
    }),
  )
  const paid = Object.keys(debt).filter((key) => !seen.has(key))
  return [
    ...grown,
    ...paid.map((key) => ({
      rule: 'function-length',
      path: 'tools/tidy/function-length.ts',
      line: 1,
      message: `${key} is short now: remove it from the list`,
    })),
  ]
}
