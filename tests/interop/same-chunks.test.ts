import { mkdirSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type ArchiveTool, holdfastTool, mustRun, resticTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { drawText } from '../make-tree.ts'
import { findPeer, type PeerName } from '../peers.ts'
import { backUp, openScene, type Scene } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'

const holdfast = holdfastTool()

/** Irreducible polynomials of degree 53: the chunker's test vector and one drawn by `restic init`. */
const polynomials = [0x3da3358b4dc173n, 0x37bdb22db7097bn]

describe.each<PeerName>(['restic-old', 'restic-new'])('chunks as %s cuts them', (name) => {
  const peer = findPeer(name)
  const restic = peer === undefined ? holdfast : resticTool(peer)

  it.skipIf(peer === undefined).each(polynomials)('polynomial %i gives the same data blobs', (polynomial) => {
    using scene = openScene()
    writeLargeFiles(scene)
    const [a, b] = [restic, holdfast].map((tool) => {
      using own = { ...openScene(), tree: scene.tree }
      makeCheapRepository(own.repo, { polynomial })
      backUp(tool, { ...own, at: { ...own.at, cwd: scene.dir } })
      return dataBlobs(restic, own)
    })
    expect(a?.length).toBeGreaterThan(20)
    expect(b).toEqual(a)
  })

  it.skipIf(peer === undefined)('a stream is cut like a file', () => {
    using scene = openScene()
    makeCheapRepository(scene.repo)
    const content = seededRandom(5).bytes(12 * 1024 * 1024 + 1)
    mkdirSync(scene.tree)
    writeFileSync(`${scene.tree}/file`, content)
    backUp(restic, scene)
    const before = dataBlobs(restic, scene)
    mustRun(holdfast, { ...scene.at, input: content }, ['backup', '--stdin', '--stdin-filename', 'stream'])
    expect(dataBlobs(restic, scene)).toEqual(before)
  })
})

/** Incompressible, compressible, constant, and lengths around the smallest (512 KiB) and largest (8 MiB) chunk. */
function writeLargeFiles(scene: Scene): void {
  const random = seededRandom(31)
  const [KiB, MiB] = [1024, 1024 * 1024]
  mkdirSync(scene.tree)
  const write = (name: string, content: Buffer): void => writeFileSync(`${scene.tree}/${name}`, content)
  write('random', random.bytes(32 * MiB + 1))
  write('text', drawText(random, 12 * MiB))
  write('constant', Buffer.alloc(17 * MiB, 0x5a))
  write('zeros', Buffer.alloc(8 * MiB + 1))
  for (const size of [
    512 * KiB - 1,
    512 * KiB,
    512 * KiB + 1,
    512 * KiB + 64,
    8 * MiB - 1,
    8 * MiB,
    8 * MiB + 1,
  ]) {
    write(`random-${size}`, random.bytes(size))
  }
}

function dataBlobs(tool: ArchiveTool, scene: Scene): readonly string[] {
  return mustRun(tool, scene.at, ['list', 'blobs', '--no-lock'])
    .split('\n')
    .filter((line) => line.startsWith('data '))
    .sort()
}
