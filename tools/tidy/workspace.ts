import { posix } from 'node:path'
import { parseSourceFile, type SourceFile } from './source-file.ts'

/** A file git knows, or would add. `text` is undefined when the content is not text. */
export interface TrackedFile {
  readonly path: string
  readonly size: number
  readonly text: string | undefined
}

interface Manifest {
  readonly name: string
  readonly dependencies: readonly string[]
  readonly devDependencies: readonly string[]
  /** Files named by `exports` and `bin`, as source paths inside the workspace. */
  readonly entries: readonly string[]
  readonly scripts: readonly string[]
}

export interface Package extends Manifest {
  /** '' for the root, otherwise like `packages/archive`. */
  readonly directory: string
  /** Directories of the projects its tsconfig refers to. */
  readonly references: readonly string[]
}

export interface Workspace {
  readonly files: readonly TrackedFile[]
  readonly paths: ReadonlySet<string>
  /** TypeScript and JavaScript, without the AssemblyScript kernel, which is another language. */
  readonly sources: readonly SourceFile[]
  readonly root: Package
  /** Everything under `packages/` and `apps/`. */
  readonly packages: readonly Package[]
}

/** Builds the value every rule looks at. Pure, so that tests can plant a workspace of a few lines. */
export function makeWorkspace(files: readonly TrackedFile[]): Workspace {
  const manifests = files.filter(({ path }) => /^((packages|apps)\/[^/]+\/)?package\.json$/.test(path))
  const paths = new Set(files.map(({ path }) => path))
  const packages = manifests.map((file) => makePackage(file, files, paths))
  const root = packages.find(({ directory }) => directory === '')
  if (!root) throw new Error('the workspace has no package.json at its root')
  return {
    files,
    paths,
    sources: files.flatMap(({ path, text }) =>
      isSource(path) && text !== undefined ? [parseSourceFile(path, text)] : [],
    ),
    root,
    packages: packages.filter(({ directory }) => directory !== ''),
  }
}

/** The package a file belongs to; files outside `packages/` and `apps/` belong to the root. */
export function packageOf(workspace: Workspace, path: string): Package {
  return workspace.packages.find(({ directory }) => path.startsWith(`${directory}/`)) ?? workspace.root
}

/** Test files, and what exists only for them. */
export function isTest(path: string): boolean {
  return /\.(test|testing)\.ts$/.test(path) || path.startsWith('tests/') || path.startsWith('bench/')
}

/** The workspace path of a relative import, or undefined when it does not lead to a source file. */
export function resolveRelative(workspace: Workspace, from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return toSource(workspace.paths, posix.join(posix.dirname(from), specifier))
}

/** The name of the package a bare import asks for: `@aws-sdk/client-s3/x` gives `@aws-sdk/client-s3`. */
export function bareName(specifier: string): string | undefined {
  if (specifier.startsWith('.') || specifier.startsWith('/') || specifier.startsWith('node:'))
    return undefined
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0]
}

function isSource(path: string): boolean {
  return /\.[jt]s$/.test(path) && !path.includes('/assembly/')
}

function makePackage(file: TrackedFile, files: readonly TrackedFile[], paths: ReadonlySet<string>): Package {
  const directory = file.path.slice(0, -'/package.json'.length)
  const manifest = record(JSON.parse(file.text ?? '{}'))
  const inside = (path: string) => posix.join(directory, path)
  const entries = [...strings(manifest['exports']), ...strings(manifest['bin'])]
    .filter((entry) => !entry.endsWith('.d.ts'))
    .map((entry) => toSource(paths, inside(entry)) ?? inside(entry))
  return {
    directory,
    name: String(manifest['name']),
    dependencies: ['dependencies', 'peerDependencies', 'optionalDependencies'].flatMap((kind) =>
      Object.keys(record(manifest[kind])),
    ),
    devDependencies: Object.keys(record(manifest['devDependencies'])),
    entries,
    scripts: strings(manifest['scripts']),
    references: referencesOf(
      files.find(({ path }) => path === inside('tsconfig.json')),
      directory,
    ),
  }
}

function referencesOf(tsconfig: TrackedFile | undefined, directory: string): readonly string[] {
  if (tsconfig?.text === undefined) return []
  const references = record(JSON.parse(tsconfig.text))['references']
  return Array.isArray(references)
    ? references.map((reference) => posix.join(directory, String(record(reference)['path'])))
    : []
}

/** Built files are reached through the source they are built from. */
function toSource(paths: ReadonlySet<string>, path: string): string | undefined {
  // the command is started from its bundle, which is made of dist
  const source = path.replace('/dist/bundle/', '/src/').replace('/dist/', '/src/')
  const candidates = [path, source, source.replace(/\.js$/, '.ts')]
  return candidates.find((candidate) => paths.has(candidate))
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

/** All strings in a JSON value, however deep. */
function strings(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return Object.values(record(value)).flatMap(strings)
}
