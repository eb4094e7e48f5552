/**
 * Builds what the command needs: the WASM kernel, then the packages. Run by `npm ci` (as `prepare`), by
 * `npm run build` and before the tests. A second run with nothing changed takes well under a second.
 *
 * Where the compilers are not installed (`npm ci --omit=dev`, or the repository as somebody's dependency)
 * there is nothing to build with and nothing to do.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const asc = join(root, 'node_modules/assemblyscript/bin/asc.js')
const projects = ['packages/contract', 'packages/archive', 'apps/cli']
const kernelSource = join(root, 'packages/archive/src/kernel/assembly/kernel.ts')
const kernelModule = join(root, 'packages/archive/dist/kernel/kernel.wasm')

function build(): void {
  if (!existsSync(tsc) || !existsSync(asc)) {
    console.log('build: TypeScript and AssemblyScript are not installed, nothing to do')
    return
  }
  buildKernel()
  forgetStaleBuildInfo()
  runNode(tsc, ['-b', ...projects])
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

function runNode(script: string, args: readonly string[]): void {
  const { status, error } = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) {
    console.error(`build: ${[script.slice(root.length + 1), ...args].join(' ')} ended with ${status}`)
    process.exit(1)
  }
}

build()
