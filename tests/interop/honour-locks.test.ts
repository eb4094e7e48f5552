import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  type ArchiveTool,
  holdfastTool,
  mustRun,
  resticTool,
  runTool,
  testPassword,
} from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { makeTree } from '../make-tree.ts'
import { findPeer, type PeerName } from '../peers.ts'
import { backUp, openScene, type Scene } from '../scene.ts'
import { waitUntil } from '../wait-until.ts'

const holdfast = holdfastTool()
/** restic 0.17 and later, and Holdfast: the exit code of "repository is already locked". */
const lockedExit = 11

describe.each<PeerName>(['restic-old', 'restic-new'])('locks with %s', (name) => {
  const peer = findPeer(name)
  const restic = peer === undefined ? holdfast : resticTool(peer)
  const orders = [
    { title: 'Holdfast’s', holder: holdfast, other: restic },
    { title: 'restic’s', holder: restic, other: holdfast },
  ]

  it.skipIf(peer === undefined).each(orders)(
    'while $title backup runs the other may back up but not prune',
    async ({ holder, other }) => {
      using scene = preparedScene(holder)
      const holding = holdShared(holder, scene)
      await waitUntil('the lock appears', () => locks(scene).length > 0)
      const refused = runTool(other, scene.at, ['prune'])
      expect(refused.status).toBe(other.minor >= 17 ? lockedExit : 1)
      expect(refused.stderr).toMatch(/lock/)
      backUp(other, scene)
      await finish(holding)
      expect(locks(scene)).toEqual([])
      mustRun(other, scene.at, ['prune'])
      mustRun(other, scene.at, ['check', '--read-data'])
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    'while $title prune runs the other may not even back up',
    async ({ holder, other }) => {
      using scene = preparedScene(holder)
      const holding = await holdExclusive(holder, scene)
      const refused = runTool(other, scene.at, ['backup', 'tree'])
      expect(refused.status).toBe(other.minor >= 17 ? lockedExit : 1)
      expect(refused.stderr).toMatch(/lock/)
      process.kill(holding.pid ?? 0, 'SIGCONT')
      await once(holding, 'close')
      mustRun(other, scene.at, ['backup', 'tree'])
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    'the lock $title killed process left is removed by the other’s unlock',
    async ({ holder, other }) => {
      using scene = preparedScene(holder)
      const holding = holdShared(holder, scene)
      await waitUntil('the lock appears', () => locks(scene).length > 0)
      mustRun(other, scene.at, ['unlock'])
      expect(locks(scene), 'a living lock stays').toHaveLength(1)
      holding.kill('SIGKILL')
      await once(holding, 'close')
      mustRun(other, scene.at, ['unlock'])
      expect(locks(scene)).toEqual([])
      mustRun(other, scene.at, ['prune'])
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    'unlock --remove-all removes even $title living lock',
    async ({ holder, other }) => {
      using scene = preparedScene(holder)
      const holding = holdShared(holder, scene)
      await waitUntil('the lock appears', () => locks(scene).length > 0)
      mustRun(other, scene.at, ['unlock', '--remove-all'])
      expect(locks(scene)).toEqual([])
      holding.kill('SIGKILL') // restic 0.14 would spend 90 s retrying to remove the lock that is gone
      await once(holding, 'close')
    },
  )
})

function preparedScene(tool: ArchiveTool): Scene {
  const scene = openScene()
  makeCheapRepository(scene.repo)
  makeTree(scene.tree, scene.libc, { seed: 3, files: 5, oldSafe: true })
  backUp(tool, scene)
  return scene
}

function locks(scene: Scene): readonly string[] {
  return readdirSync(`${scene.repo}/locks`).filter((file) => /^[0-9a-f]{64}$/.test(file))
}

/** A backup of a stream that does not end until `finish`. */
function holdShared(tool: ArchiveTool, scene: Scene): ChildProcess {
  return begin(tool, scene, ['backup', '--stdin', '--stdin-filename', 'held'])
}

async function finish(holding: ChildProcess): Promise<void> {
  const closed = once(holding, 'close')
  holding.stdin?.end('the end')
  expect((await closed)[0]).toBe(0)
}

/** A prune stopped in its tracks once its lock is there. */
async function holdExclusive(tool: ArchiveTool, scene: Scene): Promise<ChildProcess> {
  const holding = begin(tool, scene, ['prune'])
  await waitUntil('the lock appears', () => locks(scene).length > 0)
  process.kill(holding.pid ?? 0, 'SIGSTOP')
  return holding
}

function begin(tool: ArchiveTool, scene: Scene, args: readonly string[]): ChildProcess {
  const [program = '', ...leading] = tool.command
  const password = { RESTIC_PASSWORD: testPassword, HOLDFAST_PASSWORD: testPassword }
  const env = { ...process.env, ...password, RESTIC_REPOSITORY: scene.repo, HOLDFAST_REPOSITORY: scene.repo }
  const child = spawn(program, [...leading, ...args], {
    env,
    cwd: scene.dir,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.stdin?.on('error', () => undefined) // closed early by a killed process
  return child
}
