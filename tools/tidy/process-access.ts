import type { Finding } from './finding.ts'
import { isTest, type Workspace } from './workspace.ts'

const forbidden = new Set(['env', 'exit', 'argv', 'exitCode', 'abort', 'computed'])

/**
 * The environment is read, and the process ended, in one place per app. A library that does either cannot be
 * embedded or tested.
 */
export function processAccess(workspace: Workspace): readonly Finding[] {
  return workspace.sources
    .filter(({ path }) => path.startsWith('packages/') && !isTest(path))
    .flatMap(({ path, processUses }) =>
      processUses
        .filter(({ member }) => forbidden.has(member))
        .map(({ member, line }) => ({
          rule: 'process-access',
          path,
          line,
          message: `process.${member} belongs to an app; take the value as an argument`,
        })),
    )
}
