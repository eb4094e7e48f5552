import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { holdfastTool, mustRun, resticTool, runTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { writeHistory } from '../history.ts'
import { findPeer } from '../peers.ts'
import { openScene, restoreDifferences, type Scene } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'

const holdfast = holdfastTool()
const peer = findPeer('restic-new') ?? findPeer('restic-old')

describe.skipIf(!canMount())('a full disk', () => {
  it('ends a backup with an error that says so, and costs no earlier snapshot', () => {
    using disk = openSmallDisk(24)
    const { scene } = disk
    const history = writeHistory(holdfast, scene, 2, { files: 10 })
    writeBigFolder(scene)
    const failed = runTool(holdfast, scene.at, ['backup', 'big'])
    expect(failed.status).not.toBe(0)
    expect(failed.status, 'ended by itself').not.toBe(null)
    expect(failed.stderr).toMatch(/no space left|ENOSPC|disk is full/i)
    disk.resize(200)
    expectWhole(scene, history)
    mustRun(holdfast, scene.at, ['backup', 'big'])
    expectWhole(scene, history)
  })

  it('ends a prune with an error and costs no retained snapshot', () => {
    using disk = openSmallDisk(200)
    const { scene } = disk
    const history = writeHistory(holdfast, scene, 4, { files: 10, largest: 2_000_000 })
    mustRun(holdfast, scene.at, ['forget', ...history.slice(0, 2).map((step) => step.snapshot)])
    disk.fill()
    const failed = runTool(holdfast, scene.at, ['prune', '--max-unused', '0'])
    expect(failed.status).not.toBe(0)
    disk.resize(400)
    expectWhole(scene, history.slice(2))
    mustRun(holdfast, scene.at, ['prune', '--max-unused', '0'])
    expectWhole(scene, history.slice(2))
  })
})

interface SmallDisk extends Disposable {
  readonly scene: Scene
  readonly resize: (mebibytes: number) => void
  /** Leaves no free block. */
  readonly fill: () => void
}

function openSmallDisk(mebibytes: number): SmallDisk {
  const scene = openScene()
  const mountPoint = `${scene.dir}/disk`
  mkdirSync(mountPoint)
  command('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'none', mountPoint)
  const repo = `${mountPoint}/repo`
  makeCheapRepository(repo)
  return {
    scene: { ...scene, repo, at: { ...scene.at, repo } },
    resize: (size) => command('mount', '-o', `remount,size=${size}m`, mountPoint),
    fill: () => void spawnSync('dd', ['if=/dev/zero', `of=${mountPoint}/filler`, 'bs=4096']),
    [Symbol.dispose]: () => {
      command('umount', '-l', mountPoint)
      scene[Symbol.dispose]()
    },
  }
}

function expectWhole(scene: Scene, history: ReturnType<typeof writeHistory>): void {
  for (const tool of peer === undefined ? [holdfast] : [resticTool(peer), holdfast]) {
    mustRun(tool, scene.at, ['unlock'])
    mustRun(tool, scene.at, ['check', '--read-data'])
    for (const { snapshot, manifest } of history) {
      expect(restoreDifferences(tool, scene, manifest, snapshot)).toEqual([])
    }
  }
}

function writeBigFolder(scene: Scene): void {
  const random = seededRandom(9)
  mkdirSync(`${scene.dir}/big`)
  for (let i = 0; i < 20; i++) writeFileSync(`${scene.dir}/big/${i}`, random.bytes(3_000_000))
}

function command(program: string, ...args: readonly string[]): void {
  const run = spawnSync(program, [...args], { encoding: 'utf8' })
  if (run.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${run.stderr}`)
}

function canMount(): boolean {
  if (process.getuid?.() !== 0) return false
  using scene = openScene()
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', scene.dir]).status === 0
  if (mounted) spawnSync('umount', [scene.dir])
  return mounted
}
