import type { Finding } from './finding.ts'
import { resolveRelative, type Workspace } from './workspace.ts'

/** No file reaches itself through its imports. Type-only imports vanish at run time and do not count. */
export function importCycles(workspace: Workspace): readonly Finding[] {
  const graph = new Map(
    workspace.sources.map(({ path, imports }) => [
      path,
      imports.flatMap(({ specifier, typeOnly }) => {
        const reached = typeOnly ? undefined : resolveRelative(workspace, path, specifier)
        return reached === undefined ? [] : [reached]
      }),
    ]),
  )
  return [...graph.keys()].flatMap((path) => {
    const cycle = shortestCycle(graph, path)
    // Each cycle is told once, at its first file in alphabetical order.
    if (cycle === undefined || cycle.some((other) => other < path)) return []
    return [{ rule: 'import-cycles', path, line: 1, message: [...cycle, path].join(' -> ') }]
  })
}

function shortestCycle(
  graph: ReadonlyMap<string, readonly string[]>,
  start: string,
): readonly string[] | undefined {
  const cameFrom = new Map<string, string>()
  const queue = [start]
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    for (const next of graph.get(at) ?? []) {
      if (next === start) return trail(cameFrom, start, at)
      if (cameFrom.has(next)) continue
      cameFrom.set(next, at)
      queue.push(next)
    }
  }
  return undefined
}

function trail(cameFrom: ReadonlyMap<string, string>, start: string, end: string): readonly string[] {
  const backwards = [end]
  for (let at = end; at !== start; ) {
    at = cameFrom.get(at) ?? start
    backwards.push(at)
  }
  return backwards.toReversed()
}
