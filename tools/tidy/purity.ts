import { basename } from 'node:path'
import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

const pureFiles = new Set(['decide.ts', 'plan.ts', 'report.ts'])

/**
 * `decide.ts`, `plan.ts` and `report.ts` compute values from values: no Node modules, no clock, no chance, no
 * environment, nothing to wait for. That is what makes a dry run the same thing as a run.
 */
export function purity(workspace: Workspace): readonly Finding[] {
  const pure = workspace.sources.filter(
    ({ path }) => path.startsWith('packages/') && pureFiles.has(basename(path)),
  )
  return pure.flatMap(({ path, imports, impurities }) => [
    ...imports
      .filter(({ specifier, typeOnly }) => specifier.startsWith('node:') && !typeOnly)
      .map(({ specifier, line }) => ({
        rule: 'purity',
        path,
        line,
        message: `a pure file must not import ${specifier}`,
      })),
    ...impurities.map(({ what, line }) => ({
      rule: 'purity',
      path,
      line,
      message: `a pure file must not use ${what}; take its value as an argument`,
    })),
  ])
}
