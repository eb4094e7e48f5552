import type { Finding } from './finding.ts'
import { bareName, isTest, type Package, packageOf, type Workspace } from './workspace.ts'

/**
 * Every bare import is in the package's own manifest. npm hoists, so an import that nobody declared works here
 * and breaks where the package is installed alone. Tests may also use the root's development tools.
 */
export function undeclaredImports(workspace: Workspace): readonly Finding[] {
  return workspace.sources.flatMap(({ path, imports }) => {
    const owner = packageOf(workspace, path)
    const declared = declaredFor(workspace, owner, path)
    return imports.flatMap(({ specifier, line }) => {
      const name = bareName(specifier)
      if (name === undefined || declared.has(name)) return []
      const manifest = owner.directory === '' ? 'package.json' : `${owner.directory}/package.json`
      return [{ rule: 'undeclared-imports', path, line, message: `${name} is not declared in ${manifest}` }]
    })
  })
}

function declaredFor(workspace: Workspace, owner: Package, path: string): ReadonlySet<string> {
  const own = [...owner.dependencies, ...owner.devDependencies]
  const tools = [...workspace.root.dependencies, ...workspace.root.devDependencies]
  if (owner === workspace.root) return new Set([...tools, ...workspace.packages.map(({ name }) => name)])
  return new Set(isTest(path) ? [...own, ...tools] : own)
}
