/**
 * Builds what the command needs: the WASM kernel, the packages, and the command in a few files. Run by `npm ci` (as `prepare`), by
 * `npm run build` and before the tests. A second run with nothing changed takes well under a second.
 *
 * Where the compilers are not installed (`npm ci --omit=dev`, or the repository as somebody's dependency)
 * there is nothing to build with and nothing to do.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const asc = join(root, 'node_modules/assemblyscript/bin/asc.js')
const projects = ['packages/contract', 'packages/archive', 'apps/cli']
const kernelSource = join(root, 'packages/archive/src/kernel/assembly/kernel.ts')
const kernelModule = join(root, 'packages/archive/dist/kernel/kernel.wasm')

async function build(): Promise<void> {
  if (!existsSync(tsc) || !existsSync(asc)) {
    console.log('build: TypeScript and AssemblyScript are not installed, nothing to do')
    return
  }
  buildKernel()
  forgetStaleBuildInfo()
  runNode(tsc, ['-b', ...projects])
  await bundleCommand()
}

function buildKernel(): void {
  if (!existsSync(kernelSource)) {
    console.error(`build: ${kernelSource} is missing, so the archive will not run`)
    return
  }
  if (!kernelIsStale()) return
  mkdirSync(dirname(kernelModule), { recursive: true })
  // Compiled beside its final name and renamed, so that a worker starting meanwhile never reads half a module.
  const fresh = `${kernelModule}.${process.pid}.tmp`
  const switches = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', '--enable', 'simd']
  runNode(asc, [kernelSource, ...switches, '--enable', 'bulk-memory', '-o', fresh])
  renameSync(fresh, kernelModule)
}

function kernelIsStale(): boolean {
  if (!existsSync(kernelModule)) return true
  const builtAt = statSync(kernelModule).mtimeMs
  const folder = dirname(kernelSource)
  const inputs = readdirSync(folder).map((name) => join(folder, name))
  return [...inputs, fileURLToPath(import.meta.url)].some((path) => statSync(path).mtimeMs > builtAt)
}

/**
 * `tsc -b` trusts its build info. It would build nothing when somebody removed the output but not the info, and
 * TypeScript 7.0 keeps telling the old errors after the configuration or a dependency changed.
 */
function forgetStaleBuildInfo(): void {
  for (const project of projects) {
    const info = join(root, project, 'dist/.tsbuildinfo')
    if (existsSync(info) && buildInfoIsStale(project, info)) rmSync(info)
  }
}

function buildInfoIsStale(project: string, info: string): boolean {
  const builtAt = statSync(info).mtimeMs
  const shared = [
    'tsconfig.base.json',
    'package-lock.json',
    `${project}/tsconfig.json`,
    `${project}/package.json`,
  ]
  if (shared.some((path) => statSync(join(root, path)).mtimeMs > builtAt)) return true
  const hasOutput = readdirSync(dirname(info), { recursive: true }).some((name) =>
    String(name).endsWith('.js'),
  )
  return !hasOutput
}

const bundle = join(root, 'apps/cli/dist/bundle')
const bundleEntries = {
  main: 'apps/cli/dist/main.js',
  'backup-worker': 'packages/archive/dist/backup/backup-worker.js',
  'check-worker': 'packages/archive/dist/maintain/check-worker.js',
  'restore-worker': 'packages/archive/dist/restore/restore-worker.js',
}

/**
 * Joins the command's several hundred modules, and those of its worker threads, into a few: a start takes half the
 * time. What modules look for beside themselves (the kernel, the package's version) is put where they look. The
 * bundle replaces the last one by renaming, so that a command started meanwhile finds one or the other.
 */
async function bundleCommand(): Promise<void> {
  if (!bundleIsStale()) return
  const { rolldown } = await import('rolldown')
  const input = Object.fromEntries(
    Object.entries(bundleEntries).map(([name, path]) => [name, join(root, path)]),
  )
  const joined = await rolldown({ input, platform: 'node', external: ['koffi', /^@aws-sdk\//, /^@smithy\//] })
  const fresh = `${bundle}.${process.pid}`
  await joined.write({ dir: fresh, format: 'esm', entryFileNames: '[name].js' })
  await joined.close()
  const beside = dirname(bundle)
  mkdirSync(join(beside, 'kernel'), { recursive: true })
  copyFileSync(kernelModule, join(beside, 'kernel/kernel.wasm'))
  copyFileSync(join(root, 'apps/cli/package.json'), join(beside, 'package.json'))
  const last = `${fresh}.old`
  if (existsSync(bundle)) renameSync(bundle, last)
  renameSync(fresh, bundle)
  rmSync(last, { recursive: true, force: true })
}

function bundleIsStale(): boolean {
  const main = join(bundle, 'main.js')
  if (!existsSync(main)) return true
  const builtAt = statSync(main).mtimeMs
  const inputs = [
    ...projects.map((project) => join(root, project, 'dist/.tsbuildinfo')),
    kernelModule,
    fileURLToPath(import.meta.url),
  ]
  return inputs.some((path) => statSync(path).mtimeMs > builtAt)
}

function runNode(script: string, args: readonly string[]): void {
  const { status, error } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) {
    console.error(`build: ${[script.slice(root.length + 1), ...args].join(' ')} ended with ${status}`)
    process.exit(1)
  }
}

await build()
