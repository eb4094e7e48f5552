import type { Finding } from './finding.ts'
import { isTest, resolveRelative, type Workspace } from './workspace.ts'

const foundation = ['format', 'kernel', 'engine', 'posix', 'stores', 'repository']

/**
 * What each folder of the archive may import, from the bottom up. Operations that write never import each other;
 * restoring reads through the queries.
 */
const layers: Readonly<Record<string, readonly string[]>> = {
  format: [],
  kernel: [],
  engine: ['format', 'kernel'],
  posix: ['format'],
  stores: ['format'],
  repository: ['format', 'kernel', 'engine', 'stores'],
  backup: foundation,
  restore: [...foundation, 'query'],
  maintain: foundation,
  query: foundation,
}

/** The archive's folders point one way, as ARCHITECTURE.md draws them; a new folder must be placed first. */
export function archiveLayers(workspace: Workspace): readonly Finding[] {
  return workspace.sources.flatMap(({ path, imports }) => {
    const from = folderOf(path)
    if (from === undefined || isTest(path)) return []
    return imports.flatMap(({ specifier, line }) => {
      const to = folderOf(resolveRelative(workspace, path, specifier) ?? '')
      if (to === undefined || to === from || layers[from]?.includes(to) === true) return []
      return [{ rule: 'archive-layers', path, line, message: `${from}/ must not import ${to}/` }]
    })
  })
}

function folderOf(path: string): string | undefined {
  return /^packages\/archive\/src\/([^/]+)\//.exec(path)?.[1]
}
