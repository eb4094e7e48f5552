import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ArchiveTool, runTool, type ToolRun, testPassword } from '../../../../tests/archive-tool.ts'
import { makeCheapRepository } from '../../../../tests/cheap-repository.ts'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'

/** A repository on disk in its own directory, with source directories beside it. */
export interface RealRepository extends AsyncDisposable {
  readonly dir: string
  readonly repoDir: string
  /** Path of a source directory below `dir`, made on demand. */
  source(name: string): string
  /** Runs a tool on the repository and expects success. */
  run(tool: ArchiveTool, ...args: string[]): string
  /** Runs a tool on the repository, whatever its exit. */
  attempt(tool: ArchiveTool, ...args: string[]): ToolRun
  open(wrap?: (store: BlobStore) => BlobStore): Promise<Repository>
}

export function makeRealRepository(options: { readonly version?: 1 | 2 } = {}): RealRepository {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-maintain-'))
  const repoDir = join(dir, 'repo')
  makeCheapRepository(repoDir, options)
  return realRepositoryAt(dir, repoDir)
}

function realRepositoryAt(dir: string, repoDir: string): RealRepository {
  const attempt = (tool: ArchiveTool, ...args: string[]): ToolRun =>
    runTool(tool, { repo: repoDir, cwd: dir }, args)
  return {
    dir,
    repoDir,
    source(name) {
      const path = join(dir, name)
      mkdirSync(path, { recursive: true })
      return path
    },
    attempt,
    run(tool, ...args) {
      const run = attempt(tool, ...args)
      if (run.status !== 0) {
        throw new Error(`${tool.name} ${args.join(' ')} ended with ${run.status}: ${run.stderr}${run.stdout}`)
      }
      return run.stdout
    },
    open: async (wrap = (store) => store) =>
      await openRepository(wrap(openFilesystemStore(repoDir)), { password: testPassword }),
    async [Symbol.asyncDispose]() {
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Writes `count` files of pseudo-random bytes, the same for the same seed, into `directory`. */
export function fillDirectory(
  directory: string,
  options: { readonly seed: number; readonly count: number; readonly bytes: number },
): void {
  const random = seededRandom(options.seed)
  mkdirSync(directory, { recursive: true })
  for (let i = 0; i < options.count; i += 1) {
    const body = Buffer.alloc(1 + random.below(options.bytes))
    for (let at = 0; at + 4 <= body.length; at += 4) {
      body.writeUInt32LE(random.below(0x1_0000_0000 - 1), at)
    }
    writeFileSync(join(directory, `file-${i}`), body)
  }
}

/** A second, independent copy of a repository directory, for experiments that break it. */
export function cloneRepository(original: RealRepository): RealRepository {
  const dir = mkdtempSync(join(tmpdir(), 'holdfast-maintain-'))
  const repoDir = join(dir, 'repo')
  copyTree(original.repoDir, repoDir)
  return realRepositoryAt(dir, repoDir)
}

function copyTree(from: string, to: string): void {
  mkdirSync(to)
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) {
      copyTree(source, target)
    } else {
      copyFileSync(source, target)
    }
  }
}
