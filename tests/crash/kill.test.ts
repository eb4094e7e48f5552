import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { holdfastTool, mustRun, resticTool, runTool, startTool, testPassword } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { type HistoryStep, snapshotFiles, writeHistory } from '../history.ts'
import { findPeer } from '../peers.ts'
import { openScene, restoreDifferences, type Scene } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'

const holdfast = holdfastTool()
const peer = findPeer('restic-new') ?? findPeer('restic-old')
const restic = peer === undefined ? holdfast : resticTool(peer)
/** HOLDFAST_CRASH_ROUNDS: kills per verb. The moments are drawn from the round's number. */
const rounds = Number(process.env['HOLDFAST_CRASH_ROUNDS'] ?? 4)
const newPassword = 'the next password'

interface KilledVerb {
  readonly verb: string
  readonly args: readonly string[]
  /** Brings a copy of the stage into the state that gives the verb work to do. */
  readonly prepare?: (scene: Scene, history: readonly HistoryStep[]) => void
  /** Snapshots of the stage (by position) that must survive. */
  readonly retained: readonly number[]
}

const all = [0, 1, 2, 3]
const verbs: readonly KilledVerb[] = [
  { verb: 'backup', args: ['backup', '--force', 'more'], prepare: addFreshFiles, retained: all },
  { verb: 'prune', args: ['prune', '--max-unused', '0'], prepare: forgetFirstTwo, retained: [2, 3] },
  {
    verb: 'forget',
    args: ['forget', '--group-by', '', '--keep-last', '2', '--prune', '--max-unused', '0'],
    retained: [2, 3],
  },
  { verb: 'key passwd', args: ['key', 'passwd', '--new-password-file', 'new-password'], retained: all },
  { verb: 'repair index', args: ['repair', 'index', '--read-all-packs'], prepare: loseIndex, retained: all },
  { verb: 'tag', args: ['tag', '--set', 'marked'], retained: [] },
]

describe('kill -9 of the real program', () => {
  const stage: { scene: Scene; history: readonly HistoryStep[] } = {
    scene: undefined as unknown as Scene,
    history: [],
  }
  beforeAll(() => {
    stage.scene = openScene()
    makeCheapRepository(stage.scene.repo)
    stage.history = writeHistory(holdfast, stage.scene, 4, { largest: 700_000, files: 60 })
    writeFileSync(`${stage.scene.dir}/new-password`, newPassword)
  })
  afterAll(() => stage.scene[Symbol.dispose]())

  it.each(verbs)('during $verb leaves a sound repository that lost no retained snapshot', async (killed) => {
    const random = seededRandom(killed.verb.length * 1000)
    const changes = await countChanges(stage.scene, stage.history, killed)
    for (let round = 0; round < rounds; round++) {
      const scene = copyStage(stage.scene, stage.history, killed)
      const after = 1 + random.below(Math.max(1, changes))
      const label = `${killed.verb}, round ${round}, killed at change ${after} of ${changes}`
      await killAtChange(scene, killed.args, after)
      expectSound(scene, stage.history, killed, label)
      rmSync(scene.repo, { recursive: true })
    }
  })
})

/** A copy of the stage's repository to be damaged; the tree and password files are shared. */
function copyStage(stage: Scene, history: readonly HistoryStep[], killed: KilledVerb): Scene {
  const repo = stage.fresh('killed-repo')
  cpSync(stage.repo, repo, { recursive: true })
  const scene: Scene = { ...stage, repo, at: { ...stage.at, repo } }
  killed.prepare?.(scene, history)
  return scene
}

/** How many file system events an undisturbed run makes: the range the kill is drawn from. */
async function countChanges(
  stage: Scene,
  history: readonly HistoryStep[],
  killed: KilledVerb,
): Promise<number> {
  const scene = copyStage(stage, history, killed)
  const seen = await killAtChange(scene, killed.args, Number.POSITIVE_INFINITY)
  rmSync(scene.repo, { recursive: true })
  return seen
}

/** Runs Holdfast and kills it at the `after`-th event in any folder of the repository. */
async function killAtChange(scene: Scene, args: readonly string[], after: number): Promise<number> {
  const folders = [
    '',
    ...readdirSync(scene.repo, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${entry.parentPath.slice(scene.repo.length)}/${entry.name}`),
  ]
  let seen = 0
  const watchers = folders.map((folder) =>
    watch(`${scene.repo}/${folder}`, () => {
      if (++seen === after) child.kill('SIGKILL')
    }),
  )
  const child = startTool(holdfast, scene.at, args)
  child.stdout?.resume()
  child.stderr?.resume()
  await once(child, 'close')
  for (const watcher of watchers) watcher.close()
  return seen
}

function expectSound(scene: Scene, history: readonly HistoryStep[], killed: KilledVerb, label: string): void {
  const password = [testPassword, newPassword].find(
    (password) => runTool(restic, { ...scene.at, password }, ['cat', 'config', '--no-lock']).status === 0,
  )
  expect(password, `${label}: some password opens`).toBeDefined()
  const here: Scene = { ...scene, at: { ...scene.at, password: password ?? '' } }
  mustRun(restic, here.at, ['unlock'])
  for (const tool of [restic, holdfast]) {
    if (killed.verb === 'repair index') mustRun(tool, here.at, ['repair', 'index'])
    const check = runTool(tool, here.at, ['check', '--read-data'])
    expect(check.status, `${label}\n${check.stdout}${check.stderr}`).toBe(0)
  }
  for (const position of killed.retained) {
    const step = history[position]
    if (step === undefined) throw new Error('no such step')
    expect(snapshotFiles(here), label).toContain(step.snapshot)
    const tool = position % 2 === 0 ? holdfast : restic
    expect(restoreDifferences(tool, here, step.manifest, step.snapshot), label).toEqual([])
  }
  if (killed.verb === 'tag') expectTaggedOrNot(here, history.length)
  if (killed.verb !== 'key passwd') mustRun(holdfast, here.at, killed.args)
}

/** A tagged snapshot is written before the one it replaces is removed: a kill may leave both, never neither. */
function expectTaggedOrNot(scene: Scene, count: number): void {
  const listed = JSON.parse(mustRun(restic, scene.at, ['snapshots', '--json'])) as {
    id: string
    original?: string
  }[]
  expect(new Set(listed.map(({ id, original }) => original ?? id)).size).toBe(count)
}

function addFreshFiles(scene: Scene): void {
  const random = seededRandom(77)
  mkdirSync(`${scene.dir}/more`, { recursive: true })
  for (let i = 0; i < 30; i++)
    writeFileSync(`${scene.dir}/more/${i}`, random.bytes(1_000_000 + random.below(2_000_000)))
}

function forgetFirstTwo(scene: Scene, history: readonly HistoryStep[]): void {
  mustRun(restic, scene.at, ['forget', ...history.slice(0, 2).map((step) => step.snapshot)])
}

function loseIndex(scene: Scene): void {
  const [first = ''] = readdirSync(`${scene.repo}/index`)
  rmSync(`${scene.repo}/index/${first}`)
}
