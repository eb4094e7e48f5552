import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

/** Names of rooms that nobody has named yet. */
const drawers = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'misc', 'types'])
const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z]+)*\.[jt]s$/

/** A source file is named after the one thing it exports, in kebab-case; no drawers. */
export function fileNames(workspace: Workspace): readonly Finding[] {
  return workspace.sources.flatMap(({ path }) => {
    const parts = path.split('/')
    const name = parts.at(-1) ?? ''
    const drawer = [...parts.slice(0, -1), name.replace(/\..*$/, '')].find((part) => drawers.has(part))
    const finding = (message: string) => [{ rule: 'file-names', path, line: 1, message }]
    if (drawer !== undefined) return finding(`'${drawer}' says nothing: name the concept`)
    return kebabCase.test(name) ? [] : finding('file names are kebab-case')
  })
}
