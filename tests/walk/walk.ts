/**
 * A random walk over everything a repository goes through, against a model that only remembers what each
 * snapshot must restore to. After every step each retained snapshot is restored and compared. The same seed
 * takes the same steps (crash points apart: those depend on time).
 */

import { once } from 'node:events'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { openRepository } from '../../packages/archive/src/repository/repository.ts'
import { restoreSnapshot } from '../../packages/archive/src/restore/restore-snapshot.ts'
import { openFilesystemStore } from '../../packages/archive/src/stores/filesystem.ts'
import {
  type ArchiveTool,
  mustRun,
  runTool,
  startTool,
  type ToolOptions,
  testPassword,
} from '../archive-tool.ts'
import { type CheapRepository, makeCheapRepository } from '../cheap-repository.ts'
import { makeTree, mutateTree } from '../make-tree.ts'
import { openScene, type Scene, socketsStayAway } from '../scene.ts'
import { type SeededRandom, seededRandom } from '../seeded-random.ts'
import { compareManifests, type Manifest, readManifest } from '../tree-manifest.ts'

export interface WalkOptions {
  readonly seed: number
  readonly steps: number
  /** Who acts; each step draws one. The first is also the one that is killed. */
  readonly tools: readonly ArchiveTool[]
  /** Kill Holdfast's backups and prunes half way now and then. Default true. */
  readonly crashes?: boolean
  readonly log?: (line: string) => void
}

/** What a snapshot must restore to. Its id changes when it is tagged, so the model follows `original`. */
interface Expectation {
  readonly manifest: Manifest
  readonly original: string
}

interface Side {
  readonly scene: Scene
  readonly keys: CheapRepository
  /** By present snapshot id, oldest first. */
  snapshots: Map<string, Expectation>
  password: string
}

interface Walk {
  readonly options: WalkOptions
  readonly random: SeededRandom
  readonly main: Side
  readonly copy: Side
}

interface Step {
  readonly weight: number
  readonly take: (walk: Walk, tool: ArchiveTool) => Promise<string> | string
}

const steps: readonly Step[] = [
  { weight: 10, take: backUpStep },
  { weight: 4, take: forgetStep },
  { weight: 4, take: pruneStep },
  { weight: 2, take: forgetAndPruneStep },
  { weight: 2, take: copyStep },
  { weight: 2, take: tagStep },
  { weight: 1, take: passwordStep },
  { weight: 2, take: checkStep },
  { weight: 1, take: lostIndexStep },
  { weight: 3, take: crashStep },
]

const mostSnapshots = 6

/** Throws with seed, step and what was done at the first difference from the model. */
export async function runWalk(options: WalkOptions): Promise<void> {
  const random = seededRandom(options.seed)
  const version = random.chance(0.25) ? 1 : 2
  using scene = openScene()
  using copyScene = openScene()
  const walk: Walk = { options, random, main: openSide(scene, version), copy: openSide(copyScene, 2) }
  makeTree(scene.tree, scene.libc, {
    seed: options.seed,
    files: 15,
    largest: 30_000,
    compact: true,
    oldSafe: true,
  })
  const history: string[] = [`version ${version} repository`]
  for (let step = 1; step <= options.steps; step++) {
    try {
      history.push(`${step}: ${await takeStep(walk)}`)
      options.log?.(`seed ${options.seed} ${history.at(-1)}`)
      await verify(walk, walk.main)
    } catch (error) {
      const replay = `HOLDFAST_WALK_SEEDS=${options.seed} HOLDFAST_WALK_STEPS=${step} npm run walk`
      throw new Error(
        `seed ${options.seed}, step ${step}; replay with ${replay}\n${history.slice(-8).join('\n')}`,
        {
          cause: error,
        },
      )
    }
  }
}

function openSide(scene: Scene, version: 1 | 2): Side {
  return {
    scene,
    keys: makeCheapRepository(scene.repo, { version }),
    snapshots: new Map(),
    password: testPassword,
  }
}

async function takeStep(walk: Walk): Promise<string> {
  const { random, options } = walk
  const total = steps.reduce((sum, step) => sum + step.weight, 0)
  let drawn = random.below(total)
  const step = steps.find(({ weight }) => (drawn -= weight) < 0) ?? steps[0]
  const tool = random.pick(options.tools)
  const needsSnapshots = step?.take !== backUpStep && walk.main.snapshots.size === 0
  const take = needsSnapshots || step === undefined ? backUpStep : step.take
  return `${tool.name}: ${await take(walk, tool)}`
}

function backUpStep(walk: Walk, tool: ArchiveTool): string {
  const { random, main } = walk
  const changes = random.below(6)
  const done = Array.from({ length: changes }, () => mutateTree(main.scene.tree, main.scene.libc, random))
  const flags = random.pick([[], ['--force'], ['--tag', 'daily'], ['--tag', 'daily,hourly']])
  mustRun(tool, at(main), ['backup', ...flags, 'tree'])
  adoptNew(main)
  if (main.snapshots.size > mostSnapshots) forgetOldest(main, tool)
  return `back up ${flags.join(' ')} after: ${done.join('; ') || 'no change'}`
}

/** Takes the one snapshot the model does not know yet as the state of the tree now. */
function adoptNew(side: Side): void {
  const fresh = snapshotFiles(side).filter((id) => !side.snapshots.has(id))
  if (fresh.length !== 1) throw new Error(`expected one new snapshot, found ${fresh.length}`)
  const [id = ''] = fresh
  side.snapshots.set(id, { manifest: readManifest(side.scene.tree, side.scene.libc), original: id })
}

function forgetOldest(side: Side, tool: ArchiveTool): void {
  const oldest = [...side.snapshots.keys()].slice(0, side.snapshots.size - mostSnapshots)
  mustRun(tool, at(side), ['forget', ...oldest])
  for (const id of oldest) side.snapshots.delete(id)
}

function forgetStep({ random, main }: Walk, tool: ArchiveTool): string {
  // Holdfast refuses to take a group's last snapshot unless told twice; restic 0.14 has no such flag
  const [, ...others] = [...main.snapshots.keys()].toReversed()
  const ids = others.filter(() => random.chance(0.4))
  if (ids.length === 0) return 'forget nothing'
  mustRun(tool, at(main), ['forget', ...ids])
  for (const id of ids) main.snapshots.delete(id)
  return `forget ${ids.length}`
}

function forgetAndPruneStep({ random, main }: Walk, tool: ArchiveTool): string {
  const keep = 1 + random.below(4)
  mustRun(tool, at(main), ['forget', '--group-by', '', '--keep-last', String(keep), '--prune'])
  for (const id of [...main.snapshots.keys()].slice(0, -keep)) main.snapshots.delete(id)
  return `forget --keep-last ${keep} --prune`
}

function pruneStep({ random, main }: Walk, tool: ArchiveTool): string {
  const flags = drawPruneFlags(random)
  mustRun(tool, at(main), ['prune', ...flags])
  return `prune ${flags.join(' ')}`
}

function drawPruneFlags(random: SeededRandom): readonly string[] {
  return random.pick([
    [],
    ['--max-unused', '0'],
    ['--max-unused', 'unlimited'],
    ['--repack-cacheable-only'],
    ['--max-repack-size', '200K', '--max-unused', '0'],
    ['--repack-small'],
  ])
}

async function copyStep(walk: Walk, tool: ArchiveTool): Promise<string> {
  const { main, copy } = walk
  const env = { RESTIC_FROM_PASSWORD: main.password, HOLDFAST_FROM_PASSWORD: main.password }
  mustRun(tool, { ...at(copy), env }, ['copy', '--from-repo', main.scene.repo])
  const copies = listOriginals(walk, copy)
  for (const [id, original] of copies) {
    const expected = [...main.snapshots.values()].find((e) => e.original === original)
    if (expected !== undefined) copy.snapshots.set(id, expected)
  }
  for (const { original } of main.snapshots.values()) {
    if (![...copies.values()].includes(original))
      throw new Error(`copy left out the snapshot that began as ${original}`)
  }
  await verify(walk, copy)
  mustRun(tool, at(copy), ['check', '--read-data'])
  return 'copy to the second repository'
}

function tagStep(walk: Walk, tool: ArchiveTool): string {
  const { random, main } = walk
  const flags = random.pick([
    ['--add', 'kept'],
    ['--remove', 'daily'],
    ['--set', `set-${random.below(1000)}`],
  ])
  const ids = [...main.snapshots.keys()].filter(() => random.chance(0.5))
  if (ids.length === 0) return 'tag nothing'
  mustRun(tool, at(main), ['tag', ...flags, ...ids])
  const byOriginal = new Map([...main.snapshots.values()].map((e) => [e.original, e]))
  const order = [...byOriginal.keys()]
  const present = [...listOriginals(walk, main)].sort(([, a], [, b]) => order.indexOf(a) - order.indexOf(b))
  main.snapshots = new Map(
    present.flatMap(([id, original]) => {
      const expected = byOriginal.get(original)
      return expected === undefined ? [] : [[id, expected] as const]
    }),
  )
  if (main.snapshots.size !== order.length) throw new Error('tagging lost a snapshot')
  return `tag ${flags.join(' ')} on ${ids.length}`
}

/** Present id to the id the snapshot was born with. */
function listOriginals(walk: Walk, side: Side): ReadonlyMap<string, string> {
  const [judge] = walk.options.tools.toReversed()
  if (judge === undefined) throw new Error('a walk needs a tool')
  const listed = JSON.parse(mustRun(judge, at(side), ['snapshots', '--no-lock', '--json'])) as {
    readonly id: string
    readonly original?: string
  }[]
  return new Map(listed.map(({ id, original }) => [id, original ?? id]))
}

/** The tool's new key costs real scrypt time to open, so a cheap one for the same password takes its place. */
function passwordStep({ random, main }: Walk, tool: ArchiveTool): string {
  const next = `password ${random.word()} ü`
  const file = `${main.scene.dir}/next-password`
  writeFileSync(file, next)
  mustRun(tool, at(main), ['key', 'passwd', '--new-password-file', file])
  if (runTool(tool, at(main), ['snapshots', '--no-lock']).status === 0)
    throw new Error('the old password still opens')
  main.password = next
  mustRun(tool, at(main), ['snapshots', '--no-lock'])
  const cheap = main.keys.addKey(next)
  for (const id of readdirSync(`${main.scene.repo}/keys`))
    if (id !== cheap) rmSync(`${main.scene.repo}/keys/${id}`)
  return 'change the password'
}

function checkStep({ main }: Walk, tool: ArchiveTool): string {
  mustRun(tool, at(main), ['check', '--read-data'])
  return 'check --read-data'
}

function lostIndexStep({ random, main }: Walk, tool: ArchiveTool): string {
  const folder = `${main.scene.repo}/index`
  const lost = random.pick(readdirSync(folder).sort())
  rmSync(`${folder}/${lost}`)
  mustRun(tool, at(main), tool.minor >= 16 ? ['repair', 'index'] : ['rebuild-index'])
  return 'lose an index file, repair index'
}

/** Starts a verb of Holdfast's (or the first tool's) and kills it after a drawn delay. */
async function crashStep(walk: Walk): Promise<string> {
  const { random, main, options } = walk
  const [tool] = options.tools
  if (tool === undefined || options.crashes === false) return 'no crash'
  mutateTree(main.scene.tree, main.scene.libc, random)
  const args = random.pick([
    ['backup', '--force', 'tree'],
    ['prune', ...drawPruneFlags(random)],
  ])
  const delay = random.below(900)
  const child = startTool(tool, at(main), args)
  const closed = once(child, 'close')
  const timer = setTimeout(() => child.kill('SIGKILL'), delay)
  await closed
  clearTimeout(timer)
  mustRun(tool, at(main), ['unlock'])
  if (snapshotFiles(main).some((id) => !main.snapshots.has(id))) adoptNew(main)
  return `kill ${args.join(' ')} after ${delay} ms, unlock`
}

/** Every retained snapshot through the library, in this process; and one of them through a drawn program. */
async function verify(walk: Walk, side: Side): Promise<void> {
  const present = snapshotFiles(side).toSorted()
  const expected = [...side.snapshots.keys()].toSorted()
  if (present.join() !== expected.join()) {
    throw new Error(`snapshots ${present.join(' ')}, the model has ${expected.join(' ')}`)
  }
  await using repository = await openRepository(openFilesystemStore(side.scene.repo), {
    password: side.password,
  })
  await repository.loadIndex()
  for (const [id, { manifest }] of side.snapshots) {
    const { tree } = JSON.parse(String(await repository.loadUnpacked('snapshot', id))) as {
      readonly tree: string
    }
    const target = side.scene.fresh('restored')
    const { errors } = await restoreSnapshot(repository, { tree, target, workers: 1 })
    if (errors.length > 0) throw new Error(`restoring ${id}: ${JSON.stringify(errors)}`)
    compareRestored(side, { id, target, manifest })
  }
  const id = walk.random.pick([...side.snapshots.keys(), ''])
  const manifest = side.snapshots.get(id)?.manifest
  if (manifest === undefined) return
  const target = side.scene.fresh('restored')
  const args = ['restore', '--no-lock', id, '--target', target]
  mustRun(walk.random.pick(walk.options.tools), at(side), args)
  compareRestored(side, { id, target, manifest })
}

interface RestoredSnapshot {
  readonly id: string
  readonly target: string
  readonly manifest: Manifest
}

function compareRestored(side: Side, { id, target, manifest }: RestoredSnapshot): void {
  const found = readManifest(`${target}/tree`, side.scene.libc)
  const differences = compareManifests(manifest, found, socketsStayAway)
  rmSync(target, { recursive: true, force: true })
  if (differences.length > 0) throw new Error(`snapshot ${id} restores otherwise:\n${differences.join('\n')}`)
}

function snapshotFiles(side: Side): readonly string[] {
  return readdirSync(`${side.scene.repo}/snapshots`).filter((name) => /^[0-9a-f]{64}$/.test(name))
}

function at(side: Side): ToolOptions {
  return { ...side.scene.at, password: side.password }
}
