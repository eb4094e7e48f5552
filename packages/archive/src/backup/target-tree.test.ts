import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jsonMessage, mustRun, resticTool, testPassword } from '../../../../tests/archive-tool.ts'
import { makeCheapRepository } from '../../../../tests/cheap-repository.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import { findSnapshot } from '../repository/load-snapshots.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import { openFilesystemStore } from '../stores/filesystem.ts'
import { allNodes, backUp, makeFiles } from './archive.testing.ts'
import { openSelection } from './exclude.ts'
import { cleanPath, snapshotComponents, type TargetTree, targetTree } from './target-tree.ts'

/** A tree as nested objects, with a target's path where it begins. */
type Shape = { readonly [name: string]: string | Shape }

function shapeOf(tree: TargetTree): Shape {
  return Object.fromEntries(
    [...tree.children].map(([name, child]) => [name, child.path ?? shapeOf(child)] as const),
  )
}

const plan = (targets: readonly string[], names: Readonly<Record<string, readonly string[]>> = {}): Shape =>
  shapeOf(
    targetTree(
      targets.map((path) => ({ path, explicit: true })),
      (path) => names[path] ?? expect.unreachable(`${path} was listed`),
    ),
  )

describe('the tree of targets', () => {
  it.each<readonly [string, readonly string[], Shape]>([
    ['an absolute path, from the root', ['/srv/a'], { srv: { a: '/srv/a' } }],
    ['two in one directory', ['/srv/a', '/srv/b'], { srv: { a: '/srv/a', b: '/srv/b' } }],
    ['a relative path, from here', ['a/b'], { a: { b: 'a/b' } }],
    ['a path from above, without the dots', ['../a'], { a: '../a' }],
    ['a path with . and // and ..', ['/srv/./x//../a/'], { srv: { a: '/srv/a' } }],
    ['the same path twice', ['/srv/a', '/srv/a/'], { srv: { a: '/srv/a' } }],
    ['one name from two places', ['a', '../a', '../../a'], { a: 'a', 'a-1': '../a', 'a-2': '../../a' }],
    ['one directory from two places', ['d/x', '../d/y'], { d: { x: 'd/x' }, 'd-1': { y: '../d/y' } }],
    [
      'a relative and an absolute path',
      ['srv/a', '/srv/b'],
      { srv: { a: 'srv/a' }, 'srv-1': { b: '/srv/b' } },
    ],
    [
      'a name that is taken by a renamed one',
      ['a', '../a', 'a-1'],
      { a: 'a', 'a-1': '../a', 'a-1-1': 'a-1' },
    ],
    ['a name that begins with dots', ['..a', '...'], { '..a': '..a', '...': '...' }],
  ])('puts %s', (_, targets, expected) => {
    expect(plan(targets)).toEqual(expected)
  })

  it('spreads a target above another one, so that nothing is stored twice', () => {
    const names = { '/srv': ['a', 'b'], '/srv/a': ['x', 'y'] }
    const expected = { srv: { a: { x: '/srv/a/x', y: '/srv/a/y' }, b: '/srv/b' } }
    expect(plan(['/srv', '/srv/a/x'], names)).toEqual(expected)
    expect(plan(['/srv/a/x', '/srv'], names)).toEqual(expected)
  })

  it('keeps a target that the directory above it no longer lists', () => {
    expect(plan(['/srv', '/srv/gone'], { '/srv': ['a'] })).toEqual({
      srv: { gone: '/srv/gone', a: '/srv/a' },
    })
  })

  it.each(['/', '.', '..', '../..', './'])('cannot hold %s itself', (path) => {
    expect(() => plan([path])).toThrow(expect.objectContaining({ code: 'InvalidInput' }))
    expect(snapshotComponents(path)).toEqual([])
  })

  it.each([
    ['', '.'],
    ['/', '/'],
    ['/..', '/'],
    ['/../a', '/a'],
    ['a/..', '.'],
    ['a/../..', '..'],
    ['../../a/./b/..', '../../a'],
    ['//a///b', '/a/b'],
  ])('cleans %j to %j', (path, clean) => {
    expect(cleanPath(path)).toBe(clean)
  })
})

const peer = findPeer('restic-new')

describe.skipIf(peer === undefined)('what is stored for targets', () => {
  const scratch = scratchDirectory('targets')
  const repoDir = join(scratch, 'repo')
  const here = join(scratch, 'top/here')
  const home = process.cwd()
  let repository: Repository
  beforeAll(async () => {
    makeFiles(join(scratch, 'top'), {
      'here/a/f': '1',
      'here/a/deep/er/g': '2',
      'here/b': '3',
      'here/.hidden/x': '4',
      'a/from-above': '5',
      b: '6',
      'here/node_modules/m': '7',
      'here/..dots': '8',
    })
    mkdirSync(join(here, 'empty'))
    symlinkSync('here', join(scratch, 'top/link'))
    makeCheapRepository(repoDir)
    repository = await openRepository(openFilesystemStore(repoDir), { password: testPassword })
    process.chdir(here)
  })
  afterAll(() => process.chdir(home))

  it.each<readonly [readonly string[], readonly string[]]>([
    [['.'], []],
    [['.'], ['node_modules', 'f']],
    [['..'], ['b']],
    [['a'], []],
    [['a', '../a'], []],
    [['b', '../b', '../a/from-above'], []],
    [['./a/deep/..', 'a/f'], []],
    [['a', 'a/deep/er'], ['f']],
    [['../here', 'a'], ['g']],
    [['empty', '.hidden/x'], []],
    [['node_modules'], ['node_modules']],
    [['node_modules/m'], ['m']],
    [[here], []],
    [[here, 'a'], []],
    [[join(scratch, 'top/link/a'), '..dots'], []],
    [[join(scratch, 'top/link')], []],
    [['a/f', '../here/a/f', join(here, 'a/f')], []],
  ])('%j without %j is what restic stores', async (paths, excludes) => {
    const restic = resticTool(peer!)
    const flags = excludes.flatMap((pattern) => ['--exclude', pattern])
    const at = { repo: repoDir, cwd: here }
    const printed = mustRun(restic, at, ['backup', '--json', '--force', ...flags, ...paths])
    const id = jsonMessage(printed, 'summary')['snapshot_id'] as string
    const selection = openSelection({ excludes })
    const { tree } = await backUp(repository, { paths, parent: 'none', selection })
    const nodes = await allNodes(repository, tree)
    const theirs = await allNodes(repository, (await findSnapshot(repository, id)).tree)
    expect([...nodes.keys()]).toEqual([...theirs.keys()])
    for (const [path, node] of nodes) {
      // the very same, with every attribute; but for the directories above, which others change
      if (!scratch.startsWith(path)) expect(node).toEqual(theirs.get(path))
    }
  })
})
