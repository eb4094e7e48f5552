import { describe, expect, it } from 'vitest'
import { type ArchiveTool, holdfastTool, mustRun, resticTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { makeTree, mutateTree } from '../make-tree.ts'
import { findPeer, type PeerName } from '../peers.ts'
import { backUp, listSnapshots, openScene, restoreDifferences } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'
import { readManifest } from '../tree-manifest.ts'

const holdfast = holdfastTool()
const timeZones = ['UTC', 'America/St_Johns', 'Asia/Kathmandu', 'Europe/Berlin']

describe.each<PeerName>(['restic-old', 'restic-new'])('appending with %s', (name) => {
  const peer = findPeer(name)
  const restic = peer === undefined ? holdfast : resticTool(peer)
  const oldSafe = name === 'restic-old'
  const orders = [
    { title: 'restic after Holdfast', first: holdfast, second: restic },
    { title: 'Holdfast after restic', first: restic, second: holdfast },
  ]

  it.skipIf(peer === undefined).each(orders)(
    '$title reads everything again and adds no data blob',
    (order) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      makeTree(scene.tree, scene.libc, { seed: 11, large: true, oldSafe })
      const first = backUp(order.first, scene)
      const second = backUp(order.second, scene, ['--force'])
      expect(first['data_blobs']).toBeGreaterThan(20)
      expect(second['data_blobs']).toBe(0)
      const [a, b] = listSnapshots(holdfast, scene)
      if (sameTrees(order.first, order.second)) {
        expect(second['tree_blobs']).toBe(0)
        expect(second['data_added']).toBe(0)
        expect(b?.tree).toBe(a?.tree)
      }
    },
  )

  it.skipIf(peer === undefined || oldSafe).each(timeZones)(
    'in time zone %s both write the same tree blobs',
    (zone) => {
      using scene = openScene()
      const at = { ...scene.at, env: { TZ: zone } }
      makeCheapRepository(scene.repo)
      makeTree(scene.tree, scene.libc, { seed: 12 })
      for (const tool of [holdfast, restic]) mustRun(tool, at, ['backup', '--force', 'tree'])
      const [a, b] = listSnapshots(holdfast, scene)
      expect(b?.tree).toBe(a?.tree)
    },
  )

  it.skipIf(peer === undefined).each(orders)(
    '$title takes the other’s snapshot as parent and sees only the changes',
    (order) => {
      using scene = openScene()
      makeCheapRepository(scene.repo)
      makeTree(scene.tree, scene.libc, { seed: 13, oldSafe })
      const first = backUp(order.first, scene)
      const unchanged = backUp(order.second, scene)
      expect(unchanged['files_unmodified']).toBe(first['files_new'])
      expect(unchanged['data_blobs']).toBe(0)
      const random = seededRandom(13)
      for (let i = 0; i < 20; i++) mutateTree(scene.tree, scene.libc, random)
      const expected = readManifest(scene.tree, scene.libc)
      backUp(order.second, scene)
      for (const tool of [order.first, order.second]) {
        mustRun(tool, scene.at, ['check', '--read-data'])
        expect(restoreDifferences(tool, scene, expected)).toEqual([])
      }
    },
  )
})

/** restic 0.14 encodes some nodes otherwise than today's (device ids of files with one name, for instance). */
function sameTrees(a: ArchiveTool, b: ArchiveTool): boolean {
  return a.minor >= 19 && b.minor >= 19
}
