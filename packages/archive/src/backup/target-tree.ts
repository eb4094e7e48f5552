import { HoldfastError } from '@holdfast/contract'

/**
 * How the targets of a backup hang together in the snapshot: directories above a target are part of
 * the tree, but only the way to it. `/srv/a` and `/srv/b` share one node `srv` with two entries.
 */
export interface TargetTree {
  readonly children: ReadonlyMap<string, TargetTree>
  /** Set where a target begins: everything below this path is stored. */
  readonly path?: string
  /** Where the attributes of a directory above a target are found; `path` does it for a target. */
  readonly attributesFrom?: string
  /** The directory a first component was found in; two targets of that name from elsewhere must not merge. */
  readonly root?: string
  /** Named by the user, so excludes do not apply to it. */
  readonly explicit?: boolean
}

export interface BackupTarget {
  /** Absolute, or relative to the working directory; at least one component that is not `..` remains. */
  readonly path: string
  readonly explicit: boolean
}

/** Names in a directory, as surrogate-escaped strings. */
export type ListNames = (path: string) => readonly string[]

interface MutableTree {
  children: Map<string, MutableTree>
  path?: string
  attributesFrom?: string
  root?: string
  explicit?: boolean
}

/**
 * The tree of all targets. A relative target keeps its relative place, with `..` dropped, as restic
 * does. Targets within other targets are stored once. `listNames` is asked only for a directory that
 * is both a target and above another.
 */
export function targetTree(targets: readonly BackupTarget[], listNames: ListNames): TargetTree {
  const top: MutableTree = { children: new Map() }
  const seen = new Set<string>()
  for (const target of targets) {
    const path = cleanPath(target.path)
    if (seen.has(path)) continue
    seen.add(path)
    addTarget(top, path, target.explicit)
  }
  spreadInnerTargets(top, listNames)
  return top
}

/** `path` without empty and `.` components, and with `..` resolved where that is possible. */
export function cleanPath(path: string): string {
  const absolute = path.startsWith('/')
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (part !== '..' || !absolute) parts.push(part)
  }
  const joined = parts.join('/')
  return absolute ? `/${joined}` : joined || '.'
}

/** Components under which a target appears in the snapshot; none for `/`, `.` and `..`. */
export function snapshotComponents(path: string): readonly string[] {
  return cleanPath(path)
    .split('/')
    .filter((part) => part !== '' && part !== '.' && part !== '..')
}

export function joinPath(directory: string, name: string): string {
  if (directory === '') return name
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`
}

function addTarget(top: MutableTree, path: string, explicit: boolean): void {
  const components = snapshotComponents(path)
  const [first] = components
  if (first === undefined) {
    throw new HoldfastError('InvalidInput', `the target "${path}" has no name of its own`, {
      guidance: 'Expand it to its entries first.',
    })
  }
  const root = rootOf(path)
  let node = firstNode(top, first, root)
  let location = joinPath(root, first)
  for (const component of components.slice(1)) {
    node.attributesFrom = location
    location = joinPath(location, component)
    node = childOf(node, component)
  }
  if (node.path !== undefined && node.path !== path) {
    throw new HoldfastError(
      'InvalidInput',
      `the targets "${node.path}" and "${path}" would have the same name in the snapshot`,
      { guidance: 'Back them up in two runs.' },
    )
  }
  node.path = path
  node.explicit = explicit
}

/** `a` from here and `a` from `../` must not merge: the later one becomes `a-1`. */
function firstNode(top: MutableTree, name: string, root: string): MutableTree {
  for (let i = 0; ; i++) {
    const candidate = i === 0 ? name : `${name}-${i}`
    const there = top.children.get(candidate)
    if (there !== undefined && there.root !== root) continue
    const node = there ?? { children: new Map(), root }
    top.children.set(candidate, node)
    return node
  }
}

function childOf(node: MutableTree, name: string): MutableTree {
  const child = node.children.get(name) ?? { children: new Map() }
  node.children.set(name, child)
  return child
}

/** The directory in which the first component of a cleaned target is found. */
function rootOf(path: string): string {
  if (path.startsWith('/')) return '/'
  return path
    .split('/')
    .filter((part) => part === '..')
    .join('/')
}

/** A target above other targets becomes a plain directory whose every entry is a target. */
function spreadInnerTargets(node: MutableTree, listNames: ListNames): void {
  if (node.path !== undefined && node.children.size > 0) {
    for (const name of listNames(node.path)) {
      const child = childOf(node, name)
      child.path ??= joinPath(node.path, name)
    }
    node.attributesFrom = node.path
    delete node.path
    delete node.explicit
  }
  for (const child of node.children.values()) spreadInnerTargets(child, listNames)
}
