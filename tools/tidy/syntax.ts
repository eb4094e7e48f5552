import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

/** A file that does not parse would pass every other rule. */
export function syntax(workspace: Workspace): readonly Finding[] {
  return workspace.sources.flatMap(({ path, syntaxErrors }) =>
    syntaxErrors.map((message) => ({ rule: 'syntax', path, line: 1, message })),
  )
}
