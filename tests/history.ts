import { readdirSync } from 'node:fs'
import type { ArchiveTool } from './archive-tool.ts'
import { makeTree, mutateTree, type TreeOptions } from './make-tree.ts'
import { backUp, type Scene } from './scene.ts'
import { seededRandom } from './seeded-random.ts'
import { type Manifest, readManifest } from './tree-manifest.ts'

/** A snapshot and what it must restore to. */
export interface HistoryStep {
  readonly snapshot: string
  readonly manifest: Manifest
}

/** Backs up the scene's tree and tells which snapshot came of it. */
export function backUpStep(writer: ArchiveTool, scene: Scene): HistoryStep {
  const known = new Set(snapshotFiles(scene))
  backUp(writer, scene)
  const [snapshot, ...others] = snapshotFiles(scene).filter((id) => !known.has(id))
  if (snapshot === undefined || others.length > 0) throw new Error('a backup must add one snapshot file')
  return { snapshot, manifest: readManifest(scene.tree, scene.libc) }
}

/** Makes the scene's tree and `steps` snapshots of it, oldest first, with 15 changes between each two. */
export function writeHistory(
  writer: ArchiveTool,
  scene: Scene,
  steps: number,
  options: Partial<TreeOptions> = {},
): readonly HistoryStep[] {
  const random = seededRandom(21)
  makeTree(scene.tree, scene.libc, { seed: 21, oldSafe: true, largest: 200_000, ...options })
  return Array.from({ length: steps }, (_, step) => {
    const changes = step === 0 ? 0 : 15
    for (let change = 0; change < changes; change++) mutateTree(scene.tree, scene.libc, random)
    return backUpStep(writer, scene)
  })
}

/** Ids of the snapshot files in the scene's repository. */
export function snapshotFiles(scene: Scene): readonly string[] {
  return readdirSync(`${scene.repo}/snapshots`).filter((name) => /^[0-9a-f]{64}$/.test(name))
}
