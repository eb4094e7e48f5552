import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type ArchiveTool, holdfastTool, mustRun, resticTool, runTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { type HistoryStep, writeHistory } from '../history.ts'
import { findPeer, type PeerName } from '../peers.ts'
import { backUp, listSnapshots, openScene, restoreDifferences, type Scene } from '../scene.ts'

const holdfast = holdfastTool()

describe.each<PeerName>(['restic-old', 'restic-new'])('maintenance with %s', (name) => {
  const peer = findPeer(name)
  const restic = peer === undefined ? holdfast : resticTool(peer)
  const orders = [
    { title: 'restic in what Holdfast wrote', writer: holdfast, keeper: restic },
    { title: 'Holdfast in what restic wrote', writer: restic, keeper: holdfast },
  ]

  it.skipIf(peer === undefined).each(orders)(
    'forget and prune by $title keep the rest whole',
    ({ writer, keeper }) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      const history = writeHistory(writer, scene, 4)
      mustRun(keeper, scene.at, ['forget', '--keep-last', '2', '--prune', '--max-unused', '0'])
      expectOnly(scene, history.slice(-2), [keeper, writer])
      backUp(writer, scene)
      mustRun(keeper, scene.at, ['check', '--read-data'])
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    'both remove the same packs’ worth after $title forgot all but one',
    ({ writer, keeper }) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      const history = writeHistory(writer, scene, 4)
      const kept = history.at(-1)
      mustRun(keeper, scene.at, ['forget', ...history.slice(0, -1).map((step) => step.snapshot)])
      mustRun(keeper, scene.at, ['prune', '--max-unused', '0'])
      const after = rawSize(restic, scene)
      mustRun(writer, scene.at, ['prune', '--max-unused', '0'])
      expect(rawSize(restic, scene)).toEqual(after)
      expectOnly(scene, kept === undefined ? [] : [kept], [keeper, writer])
    },
  )

  it.skipIf(peer === undefined).each(orders)('tags set by $title are read by both', ({ writer, keeper }) => {
    using scene = openScene()
    makeCheapRepository(scene.repo)
    const [first] = writeHistory(writer, scene, 2)
    mustRun(keeper, scene.at, ['tag', '--set', 'weekly,off site', first?.snapshot ?? ''])
    for (const tool of [writer, keeper]) {
      const [tagged, plain] = listSnapshots(tool, scene)
      expect(tagged?.tags).toEqual(['weekly', 'off site'])
      expect(tagged?.['original']).toBe(first?.snapshot)
      expect(plain?.tags ?? []).toEqual([])
    }
    mustRun(writer, scene.at, ['check'])
  })

  it.skipIf(peer === undefined).each(orders)(
    'a password changed by $title opens for both, and the old one for none',
    ({ writer, keeper }) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      const [step] = writeHistory(writer, scene, 1)
      const file = `${scene.dir}/new-password`
      mustRun({ ...writer, command: ['sh', '-c', `printf '%s' 'zweites Wörtchen' > ${file}`] }, scene.at, [])
      mustRun(keeper, scene.at, ['key', 'passwd', '--new-password-file', file])
      const at = { ...scene.at, password: 'zweites Wörtchen' }
      for (const tool of [writer, keeper]) {
        expect(runTool(tool, scene.at, ['snapshots']).status, tool.name).not.toBe(0)
        const listed = JSON.parse(mustRun(tool, at, ['snapshots', '--json'])) as { id: string }[]
        expect(listed.map((s) => s.id)).toEqual([step?.snapshot])
      }
      mustRun(restic, at, ['check', '--read-data'])
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    'an index rebuilt by $title serves both',
    ({ writer, keeper }) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      const history = writeHistory(writer, scene, 3)
      const [index = ''] = readdirSync(`${scene.repo}/index`)
      mustRun({ ...keeper, command: ['rm', `${scene.repo}/index/${index}`] }, scene.at, [])
      mustRun(keeper, scene.at, keeper.minor >= 16 ? ['repair', 'index'] : ['rebuild-index'])
      expectOnly(scene, history, [keeper, writer])
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    'what $title copied to a new repository is whole for both',
    ({ writer, keeper }) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      const history = writeHistory(writer, scene, 3)
      using other = openScene()
      makeCheapRepository(other.repo, { version: 2 })
      const from = { RESTIC_FROM_PASSWORD: 'test password', HOLDFAST_FROM_PASSWORD: 'test password' }
      mustRun(keeper, { ...other.at, env: from }, ['copy', '--from-repo', scene.repo])
      for (const tool of [writer, keeper]) {
        mustRun(tool, other.at, ['check', '--read-data'])
        const copies = listSnapshots(tool, other)
        expect(copies).toHaveLength(3)
        for (const [i, copy] of copies.entries()) {
          expect(restoreDifferences(tool, other, history[i]?.manifest ?? new Map(), copy.id)).toEqual([])
        }
      }
    },
  )
})

describe.each<PeerName>(['restic-old', 'restic-new'])('init with %s', (name) => {
  const peer = findPeer(name)
  const restic = peer === undefined ? holdfast : resticTool(peer)
  it.skipIf(peer === undefined).each([
    { title: 'Holdfast makes opens for restic', writer: holdfast, reader: restic },
    { title: 'restic makes opens for Holdfast', writer: restic, reader: holdfast },
  ])('a repository that $title, in both versions', ({ writer, reader }) => {
    for (const version of ['1', '2']) {
      using scene = openScene()
      mustRun(writer, scene.at, ['init', '--repository-version', version])
      const config = JSON.parse(mustRun(reader, scene.at, ['cat', 'config'])) as { version: number }
      expect(config.version).toBe(Number(version))
      expect(listSnapshots(reader, scene) ?? []).toEqual([])
    }
  })
})

/** The repository holds exactly these snapshots, sound and restoring equal for every tool. */
function expectOnly(scene: Scene, history: readonly HistoryStep[], tools: readonly ArchiveTool[]): void {
  for (const tool of tools) {
    mustRun(tool, scene.at, ['check', '--read-data'])
    expect(
      listSnapshots(tool, scene)
        .map((s) => s.id)
        .sort(),
    ).toEqual(history.map((s) => s.snapshot).sort())
    for (const { snapshot, manifest } of history) {
      expect(restoreDifferences(tool, scene, manifest, snapshot)).toEqual([])
    }
  }
}

function rawSize(tool: ArchiveTool, scene: Scene): unknown {
  const stats = JSON.parse(mustRun(tool, scene.at, ['stats', '--json', '--mode', 'raw-data'])) as Record<
    string,
    unknown
  >
  const blobs = mustRun(tool, scene.at, ['list', 'blobs']).split('\n').sort()
  return { size: stats['total_size'], blobs }
}
