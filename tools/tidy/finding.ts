import type { Workspace } from './workspace.ts'

/** One broken rule at one place. `line` counts from 1; 1 also stands for the file as a whole. */
export interface Finding {
  readonly rule: string
  readonly path: string
  readonly line: number
  readonly message: string
}

/** A rule looks at the whole workspace and says what is wrong with it. It reads nothing else. */
export type Rule = (workspace: Workspace) => readonly Finding[]

export function formatFinding(finding: Finding): string {
  return `${finding.path}:${finding.line} ${finding.rule}: ${finding.message}`
}
