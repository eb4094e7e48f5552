import type { Finding } from './finding.ts'
import type { ImportEdge, SourceFile } from './source-file.ts'
import { bareName, isTest, packageOf, resolveRelative, type Workspace } from './workspace.ts'

interface Arrows {
  readonly to: readonly string[]
  /** Only `import type` may follow these. */
  readonly types?: readonly string[]
}

const rooms = ['backup', 'restore', 'rotation', 'findings', 'response']
const room: Arrows = { to: ['contract'], types: ['reconcile'] }
const runtime: Arrows = { to: ['contract', 'archive', 'reconcile', 'ledger'], types: rooms }

/**
 * Every arrow between packages. A package that is not listed has no arrows yet: drawing one takes a decision
 * record. Rooms never import each other: they meet as records in `contract`.
 */
const packageArrows: Readonly<Record<string, Arrows>> = {
  contract: { to: [] },
  reconcile: { to: [] },
  archive: { to: ['contract'] },
  ledger: { to: ['contract'] },
  ...Object.fromEntries(rooms.map((name) => [name, room])),
  'runtime-local': runtime,
  'runtime-kubernetes': runtime,
  conformance: { to: ['contract'], types: rooms },
}

/** Apps see every package, but the console only what is shared with the world outside. */
const appArrows: Readonly<Record<string, Arrows>> = { console: { to: ['contract'] } }

/** Imports between packages follow the arrows, and go through the door (`@holdfast/x`), never by path. */
export function arrows(workspace: Workspace): readonly Finding[] {
  return workspace.sources.flatMap((source) => {
    const from = packageOf(workspace, source.path)
    if (from === workspace.root) return []
    return source.imports.flatMap((edge) => judge(workspace, source, edge))
  })
}

function judge(workspace: Workspace, source: SourceFile, edge: ImportEdge): readonly Finding[] {
  const finding = (message: string) => [{ rule: 'arrows', path: source.path, line: edge.line, message }]
  const from = packageOf(workspace, source.path)
  const reached = resolveRelative(workspace, source.path, edge.specifier)
  if (reached !== undefined) {
    const owner = packageOf(workspace, reached)
    if (owner === from || (isTest(source.path) && reached.startsWith('tests/'))) return []
    return finding(`'${edge.specifier}' leaves ${from.directory}; import the package by its name`)
  }
  const to = workspace.packages.find(({ name }) => name === bareName(edge.specifier))
  if (to === undefined) return []
  return refusal(from.directory, to.directory, edge.typeOnly).flatMap(finding)
}

function refusal(from: string, to: string, typeOnly: boolean): readonly string[] {
  const [fromKind, fromName = ''] = from.split('/')
  const [toKind, toName = ''] = to.split('/')
  if (toKind === 'apps') return [`${from} must not import ${to}: nothing imports an app`]
  if (fromKind === 'apps' && appArrows[fromName] === undefined) return []
  const allowed = fromKind === 'apps' ? appArrows[fromName] : packageArrows[fromName]
  if (allowed === undefined)
    return [`${from} has no arrows: add it to tools/tidy/arrows.ts with a decision record`]
  if (allowed.to.includes(toName)) return []
  if (allowed.types?.includes(toName) !== true) return [`${from} must not import ${to}`]
  return typeOnly ? [] : [`${from} may import only types from ${to}`]
}
