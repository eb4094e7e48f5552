/**
 * Holdfast against stock restic on the same data, in interleaved rounds (A B A B ...), medians reported.
 *
 *   npm run bench:archive -- [--set large,small,postgres] [--size 4096] [--files 100000] [--rounds 5]
 *                            [--data DIR] [--ram DIR] [--samples FILE] [--write]
 *
 * `--size` is MiB of the large set, `--data` where the data sets are made and kept (a disk, read from the page
 * cache), `--ram` where repositories, restores, caches and temporary files go (default /dev/shm), `--samples` a
 * JSON-lines file that every measurement is appended to, `--write` updates docs/benchmarks.md. Quick look:
 * `--set large --size 256 --rounds 1`.
 */

import { spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type ArchiveTool, holdfastTool, resticTool, testPassword } from '../tests/archive-tool.ts'
import { findPeer } from '../tests/peers.ts'
import { changeBlocks, changeFiles, makeLarge, makeSmall } from './data-sets.ts'
import { measure } from './measure.ts'
import { makePostgres } from './postgres.ts'
import { renderTable, replaceSection, type Sample } from './report.ts'

interface DataSet {
  readonly name: string
  readonly dir: string
  /** Each becomes a row "changed"; applied in place and taken back. */
  readonly changes: readonly { readonly title: string; readonly apply: () => () => void }[]
}

interface Bench {
  readonly ram: string
  readonly restic: ArchiveTool
  readonly samples: Sample[]
  readonly samplesFile: string | undefined
}

const { values: flags } = parseArgs({
  options: {
    set: { type: 'string', default: 'large,small,postgres' },
    size: { type: 'string', default: '4096' },
    files: { type: 'string', default: '100000' },
    scale: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '5' },
    data: { type: 'string', default: `${tmpdir()}/holdfast-bench-data` },
    ram: { type: 'string', default: '/dev/shm' },
    samples: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})

main()

function main(): void {
  const peer = findPeer('restic-new')
  if (peer === undefined)
    throw new Error('the benchmark needs a restic to measure against: set HOLDFAST_RESTIC_NEW')
  const ram = mkdtempSync(`${flags.ram}/holdfast-bench-`)
  const bench: Bench = {
    ram,
    restic: { ...resticTool(peer), command: [peer.command] },
    samples: [],
    samplesFile: flags.samples,
  }
  const rounds = Number(flags.rounds)
  console.log(
    `Holdfast and ${bench.restic.name}, ${rounds} rounds; ${cpus().length} x ${cpus()[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}`,
  )
  try {
    // one empty repository for all: the same scrypt cost and the same chunk boundaries for both tools
    time({ bench, tool: bench.restic, cwd: ram, args: ['init', '--repo', `${ram}/empty`] })
    for (const set of dataSets()) {
      for (let round = 1; round <= rounds; round++) runRound(bench, set, round)
      const table = renderTable(
        bench.samples.filter((sample) => sample.set === set.name),
        bench.restic.name,
      )
      console.log(`\n${table}\n`)
      if (flags.write) replaceSection(benchmarksFile(), set.name, table)
    }
  } finally {
    rmSync(ram, { recursive: true, force: true })
  }
}

function dataSets(): readonly DataSet[] {
  mkdirSync(flags.data, { recursive: true })
  const wanted = flags.set.split(',')
  return [
    ...(wanted.includes('large') ? [largeSet()] : []),
    ...(wanted.includes('small') ? [smallSet()] : []),
    ...(wanted.includes('postgres') ? postgresSet() : []),
  ]
}

function largeSet(): DataSet {
  const dir = `${flags.data}/large`
  makeLarge(dir, Number(flags.size) * 2 ** 20)
  return {
    name: 'large',
    dir,
    changes: [
      { title: 'backup, 1 % of 1-MiB blocks changed', apply: () => changeBlocks(dir, 1 << 20, 0.01) },
      { title: 'backup, 1 % of 8-KiB pages changed', apply: () => changeBlocks(dir, 8192, 0.01) },
    ],
  }
}

function smallSet(): DataSet {
  const dir = `${flags.data}/small`
  makeSmall(dir, Number(flags.files))
  return {
    name: 'small',
    dir,
    changes: [{ title: 'backup, 1 % of files changed', apply: () => changeFiles(dir) }],
  }
}

function postgresSet(): readonly DataSet[] {
  const data = makePostgres(`${flags.data}/postgres`, Number(flags.scale), 10_000)
  if (data === undefined) {
    console.log('postgres: skipped, no server binaries below /usr/lib/postgresql')
    return []
  }
  return [
    {
      name: 'postgres',
      dir: data.dir,
      changes: [{ title: 'backup after 10,000 transactions', apply: data.change }],
    },
  ]
}

/** All operations by one tool, then by the other; who begins alternates, so that drift hits both alike. */
function runRound(bench: Bench, set: DataSet, round: number): void {
  warmCache(set.dir)
  const tools = [bench.restic, holdfastTool()]
  for (const tool of round % 2 === 0 ? tools.reverse() : tools) runSequence(bench, set, tool, round)
}

function runSequence(bench: Bench, set: DataSet, tool: ArchiveTool, round: number): void {
  const repo = `${bench.ram}/repo`
  const target = `${bench.ram}/restored`
  cpSync(`${bench.ram}/empty`, repo, { recursive: true })
  const step = (operation: string, args: readonly string[]): void => {
    const cost = time({ bench, tool, cwd: set.dir, args })
    const name = tool.isHoldfast ? 'holdfast' : tool.name
    const sample: Sample = {
      set: set.name,
      operation,
      tool: name,
      round,
      ...cost,
      repository: directorySize(repo),
    }
    bench.samples.push(sample)
    if (bench.samplesFile !== undefined) appendFileSync(bench.samplesFile, `${JSON.stringify(sample)}\n`)
    console.log(
      `${set.name} ${round} ${name} ${operation}: ${cost.wall.toFixed(2)} s, ${cost.cpu.toFixed(1)} core-s, ${(cost.peakRss / 2 ** 20).toFixed(0)} MiB`,
    )
  }
  step('first backup', ['backup', '.'])
  step('backup, nothing changed', ['backup', '.'])
  step('restore', ['restore', 'latest', '--target', target])
  if (round === 1) mustBeEqual(set.dir, target)
  rmSync(target, { recursive: true })
  for (const change of set.changes) {
    const undo = change.apply()
    try {
      step(change.title, ['backup', '.'])
    } finally {
      undo()
    }
  }
  step('check --read-data', ['check', '--read-data'])
  time({ bench, tool, cwd: set.dir, args: ['forget', 'latest'] })
  step('prune, newest snapshot forgotten', ['prune', '--max-unused', '0'])
  rmSync(repo, { recursive: true })
}

interface Timed {
  readonly bench: Bench
  readonly tool: ArchiveTool
  readonly cwd: string
  readonly args: readonly string[]
}

function time({ bench, tool, cwd, args }: Timed): ReturnType<typeof measure> {
  const [repo, temporary] = [`${bench.ram}/repo`, `${bench.ram}/tmp`]
  mkdirSync(temporary, { recursive: true })
  const env = {
    RESTIC_REPOSITORY: repo,
    RESTIC_PASSWORD: testPassword,
    HOLDFAST_REPOSITORY: repo,
    HOLDFAST_PASSWORD: testPassword,
    XDG_CACHE_HOME: `${bench.ram}/cache`,
    TMPDIR: temporary,
  }
  return measure({ command: [...tool.command, ...args], cwd, env }, temporary)
}

function mustBeEqual(a: string, b: string): void {
  const diff = spawnSync('diff', ['-rq', a, b], { encoding: 'utf8' })
  if (diff.status !== 0)
    throw new Error(`the restore differs:\n${diff.stdout.slice(0, 2000)}${diff.stderr.slice(0, 2000)}`)
}

function warmCache(dir: string): void {
  spawnSync('sh', ['-c', 'find . -type f -print0 | xargs -0 cat > /dev/null'], { cwd: dir })
}

function directorySize(dir: string): number {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(`${entry.parentPath}/${entry.name}`).size, 0)
}

function benchmarksFile(): string {
  return fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url))
}
