import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { type ArchiveTool, mustRun, type ToolOptions } from './archive-tool.ts'
import { type Libc, openLibc } from './libc.ts'
import { compareManifests, type Manifest, type ManifestTolerance, readManifest } from './tree-manifest.ts'

/** A scratch folder with room for a tree (`tree`), a repository (`repo`) and restores, removed at the end. */
export interface Scene extends Disposable {
  readonly dir: string
  readonly repo: string
  readonly tree: string
  readonly libc: Libc
  /** Options for `runTool`: the scene's repository, with `tree` as a relative path. */
  readonly at: ToolOptions
  /** A path in the scene that was not handed out before. */
  readonly fresh: (name: string) => string
}

/** In memory when the machine has /dev/shm: thousands of small restores are then a matter of seconds. */
export function openScene(): Scene {
  const base = process.env['HOLDFAST_TEST_DIR'] ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir())
  const dir = mkdtempSync(`${base}/holdfast-test-`)
  const repo = `${dir}/repo`
  let count = 0
  return {
    dir,
    repo,
    tree: `${dir}/tree`,
    libc: openLibc(),
    at: { repo, cwd: dir },
    fresh: (name) => `${dir}/${name}-${count++}`,
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** Backs up the scene's tree as `tree` and returns restic's summary message. */
export function backUp(
  tool: ArchiveTool,
  scene: Scene,
  flags: readonly string[] = [],
): Readonly<Record<string, unknown>> {
  return summaryOf(mustRun(tool, scene.at, ['backup', '--json', ...flags, 'tree']))
}

function summaryOf(stdout: string): Readonly<Record<string, unknown>> {
  for (const line of stdout.split('\n').reverse()) {
    if (!line.startsWith('{')) continue
    const message = JSON.parse(line) as Record<string, unknown>
    if (message['message_type'] === 'summary') return message
  }
  throw new Error(`no summary message in:\n${stdout}`)
}

/** Restores a snapshot of the scene's tree with `tool` and reads what came out. */
export function restored(tool: ArchiveTool, scene: Scene, snapshot = 'latest'): Manifest {
  const target = scene.fresh('restored')
  mustRun(tool, scene.at, ['restore', '--no-lock', snapshot, '--target', target])
  const manifest = readManifest(`${target}/tree`, scene.libc)
  rmSync(target, { recursive: true, force: true })
  return manifest
}

/** restic records sockets but restores none. */
export const socketsStayAway: ManifestTolerance = { absentTypes: ['socket'] }

/** Restores and lists every difference from `expected`; empty when all is equal. */
export function restoreDifferences(
  tool: ArchiveTool,
  scene: Scene,
  expected: Manifest,
  snapshot = 'latest',
): readonly string[] {
  return compareManifests(expected, restored(tool, scene, snapshot), socketsStayAway)
}

export interface ListedSnapshot {
  readonly id: string
  readonly tree: string
  readonly tags?: readonly string[]
  readonly [member: string]: unknown
}

export function listSnapshots(tool: ArchiveTool, scene: Scene): readonly ListedSnapshot[] {
  return JSON.parse(
    mustRun(tool, scene.at, ['snapshots', '--no-lock', '--json']),
  ) as readonly ListedSnapshot[]
}
