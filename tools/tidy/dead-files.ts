import { posix } from 'node:path'
import type { Finding } from './finding.ts'
import { resolveRelative, type Workspace } from './workspace.ts'

/**
 * Every source file is reachable: from a package's `exports` or `bin`, from a script of the root manifest or
 * of `.ci/`, from a tool's configuration, or from a test. Modules loaded by URL (workers) and folders of
 * commands loaded by name count as reached where a reached file mentions them.
 */
export function deadFiles(workspace: Workspace): readonly Finding[] {
  const alive = new Set(startingPoints(workspace))
  const queue = [...alive]
  const sources = new Map(workspace.sources.map((source) => [source.path, source]))
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const source = sources.get(path)
    const next = [...(source?.imports.map(({ specifier }) => specifier) ?? []), ...(source?.mentions ?? [])]
    for (const specifier of next) {
      const reached = resolveRelative(workspace, path, specifier)
      if (reached === undefined || alive.has(reached)) continue
      alive.add(reached)
      queue.push(reached)
    }
  }
  return workspace.sources
    .filter(({ path }) => !alive.has(path))
    .map(({ path }) => ({ rule: 'dead-files', path, line: 1, message: 'nothing reaches this file' }))
}

function startingPoints(workspace: Workspace): readonly string[] {
  const packages = [workspace.root, ...workspace.packages]
  const scripts = packages.flatMap(({ directory, scripts: commands }) =>
    commands.flatMap(modulesIn).map((path) => posix.join(directory, path)),
  )
  const automation = workspace.files.filter(({ path }) => path.startsWith('.ci/'))
  return [
    ...packages.flatMap(({ entries }) => entries),
    ...scripts,
    ...automation.flatMap(({ text }) => modulesIn(text ?? '')),
    ...workspace.sources
      .map(({ path }) => path)
      .filter((path) => /\.((test|config)\.[jt]s|d\.ts)$/.test(path)),
  ]
}

/** Paths of modules named in a command line. */
function modulesIn(command: string): readonly string[] {
  return [...command.matchAll(/[\w./-]+\.[jt]s\b/g)].map(([path]) => posix.normalize(path))
}
