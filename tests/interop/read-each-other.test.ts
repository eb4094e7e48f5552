import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ArchiveTool, holdfastTool, mustRun, resticTool, runTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { makeTree } from '../make-tree.ts'
import { findPeer, type PeerName } from '../peers.ts'
import { backUp, listSnapshots, openScene, restoreDifferences, type Scene } from '../scene.ts'
import { type Manifest, readManifest } from '../tree-manifest.ts'

const holdfast = holdfastTool()

describe.each<PeerName>(['restic-old', 'restic-new'])('against %s', (name) => {
  const peer = findPeer(name)
  describe.skipIf(peer === undefined).each([1, 2] as const)('in a version %i repository', (version) => {
    const restic = peer === undefined ? holdfast : resticTool(peer)
    it.each([
      { title: 'what Holdfast writes', writer: holdfast, reader: restic },
      { title: 'what restic writes', writer: restic, reader: holdfast },
    ])('$title passes the other’s check --read-data and restores equal with both', ({ writer, reader }) => {
      using scene = openScene()
      makeCheapRepository(scene.repo, { version })
      makeTree(scene.tree, scene.libc, { seed: version, large: true, oldSafe: name === 'restic-old' })
      const expected = readManifest(scene.tree, scene.libc)
      backUp(writer, scene)
      for (const tool of [reader, writer]) {
        mustRun(tool, scene.at, ['check', '--read-data'])
        expect(restoreDifferences(tool, scene, expected)).toEqual([])
      }
    })
  })

  describe.skipIf(peer === undefined)('reading one repository side by side', () => {
    const restic = peer === undefined ? holdfast : resticTool(peer)
    const stage = stageOf(restic, holdfast, name)
    it('both list the same snapshots', () => {
      const [a, b] = [restic, holdfast].map((tool) => listSnapshots(tool, stage.scene).map(comparable))
      expect(a).toHaveLength(2)
      expect(b).toEqual(a)
    })
    it('both dump the same bytes of every regular file with a plain name', () => {
      for (const path of ['/tree/large/random', '/tree/large/text', '/tree/sizes/0', '/tree/sizes/524289']) {
        const [a, b] = [restic, holdfast].map((tool) =>
          mustRun(tool, stage.scene.at, ['dump', 'latest', path]),
        )
        expect(b === a, path).toBe(true)
      }
    })
    it.each(['raw-data', 'restore-size', 'files-by-contents'])(
      'both count the same in stats mode %s',
      (mode) => {
        const [a, b] = [restic, holdfast].map((tool) => statsOf(tool, stage.scene, mode))
        expect(b).toEqual(a)
      },
    )
    it('both list the same paths', () => {
      const [a, b] = [restic, holdfast].map((tool) => pathsOf(tool, stage.scene))
      expect(a?.length).toBeGreaterThan(100)
      expect(b).toEqual(a)
    })
    it('both write tar archives with the same members and bytes', () => {
      const [a, b] = [restic, holdfast].map((tool) => tarListing(tool, stage.scene))
      expect(a).toContain('sizes/524289')
      expect(b).toEqual(a)
    })
  })
})

/** One repository with a snapshot by each of two tools, made before the tests of a describe block. */
function stageOf(
  first: ArchiveTool,
  second: ArchiveTool,
  name: PeerName,
): { readonly scene: Scene; expected?: Manifest } {
  const stage: { scene: Scene; expected?: Manifest } = { scene: undefined as unknown as Scene }
  beforeAll(() => {
    stage.scene = openScene()
    makeCheapRepository(stage.scene.repo)
    makeTree(stage.scene.tree, stage.scene.libc, { seed: 7, large: true, oldSafe: name === 'restic-old' })
    backUp(first, stage.scene, ['--tag', 'one,two'])
    backUp(second, stage.scene, ['--tag', 'three', '--force'])
  })
  afterAll(() => stage.scene[Symbol.dispose]())
  return stage
}

/** What every version prints: older ones know neither summaries nor program versions. */
function comparable(snapshot: Readonly<Record<string, unknown>>): unknown {
  const { id, short_id, time, tree, paths, hostname, username, tags } = snapshot
  return { id, short_id, time, tree, paths, hostname, username, tags }
}

function statsOf(tool: ArchiveTool, scene: Scene, mode: string): unknown {
  const found = JSON.parse(mustRun(tool, scene.at, ['stats', '--json', '--mode', mode])) as Record<
    string,
    unknown
  >
  return {
    size: found['total_size'],
    files: found['total_file_count'] ?? 0,
    blobs: found['total_blob_count'],
  }
}

function pathsOf(tool: ArchiveTool, scene: Scene): readonly string[] {
  return mustRun(tool, scene.at, ['ls', '--json', 'latest'])
    .split('\n')
    .filter((line) => line.includes('"path"'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .map((node) => `${String(node['type'])} ${String(node['path'])}`)
}

/** Through the system's tar, as a third party; without times, which restic rounds to seconds and Holdfast keeps. */
function tarListing(tool: ArchiveTool, scene: Scene): string {
  const [program = '', ...leading] = tool.command
  const quoted = [program, ...leading, 'dump', 'latest', '/tree/sizes'].map((word) => `'${word}'`).join(' ')
  const shell: ArchiveTool = {
    ...tool,
    command: ['sh', '-c', `${quoted} | tar -tv -f - | awk '{ print $1, $2, $3, $6 }' | sort -k 4`],
  }
  return runTool(shell, scene.at, []).stdout
}
