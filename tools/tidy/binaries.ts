import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

/** Repositories made by another program and kept as evidence live in folders of this name. */
const golden = /(^|\/)golden\//

/** No built or binary file is committed: it could be neither read nor reproduced. Golden test data is exempt. */
export function binaries(workspace: Workspace): readonly Finding[] {
  return workspace.files
    .filter(({ path, text }) => text === undefined && !golden.test(path))
    .map(({ path }) => ({ rule: 'binaries', path, line: 1, message: 'is not text' }))
}
