import type { Finding } from './finding.ts'
import { bareName, isTest, type Package, packageOf, type Workspace } from './workspace.ts'

/**
 * A package's project references and its declared dependencies on other packages of ours are exactly the ones
 * its source imports; the root project refers to every package. `tsc -b` checks neither.
 */
export function projectReferences(workspace: Workspace): readonly Finding[] {
  const ofPackages = workspace.packages.flatMap((owner) => {
    const imported = importedPackages(workspace, owner)
    const directories = imported.map(({ directory }) => directory)
    const ours = owner.dependencies.filter((name) => workspace.packages.some((each) => each.name === name))
    return [
      ...difference(`${owner.directory}/tsconfig.json`, 'references', owner.references, directories),
      ...difference(
        `${owner.directory}/package.json`,
        'dependencies',
        ours,
        imported.map(({ name }) => name),
      ),
    ]
  })
  const unknown = workspace.packages.filter(({ directory }) => !workspace.root.references.includes(directory))
  return [
    ...ofPackages,
    ...unknown.map(({ directory }) => finding('tsconfig.json', `references lack ${directory}`)),
  ]
}

function importedPackages(workspace: Workspace, owner: Package): readonly Package[] {
  const own = workspace.sources.filter(({ path }) => packageOf(workspace, path) === owner && !isTest(path))
  const names = new Set(own.flatMap(({ imports }) => imports.map(({ specifier }) => bareName(specifier))))
  return workspace.packages.filter((each) => each !== owner && names.has(each.name))
}

function difference(
  path: string,
  field: string,
  declared: readonly string[],
  imported: readonly string[],
): readonly Finding[] {
  return [
    ...imported
      .filter((name) => !declared.includes(name))
      .map((name) => finding(path, `${field} lack ${name}, which is imported`)),
    ...declared
      .filter((name) => !imported.includes(name))
      .map((name) => finding(path, `${field} name ${name}, which is not imported`)),
  ]
}

function finding(path: string, message: string): Finding {
  return { rule: 'project-references', path, line: 1, message }
}
