/**
 * Two million files of 100 bytes: does memory stay within 1 GiB?
 *
 *   node bench/many-files.ts [--files 2000000] [--data DIR] [--ram DIR] [--peer]
 *
 * Prints wall, core-seconds and peak RSS of a first backup, an unchanged one, check and restore; exits 1 when the
 * peak is above 1 GiB. `--peer` measures restic as well. The data needs about 8 GiB and 2 million inodes.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { type ArchiveTool, holdfastTool, resticTool, testPassword } from '../tests/archive-tool.ts'
import { findPeer } from '../tests/peers.ts'
import { makeTiny } from './data-sets.ts'
import { measure } from './measure.ts'

const allowed = 2 ** 30

const { values: flags } = parseArgs({
  options: {
    files: { type: 'string', default: '2000000' },
    data: { type: 'string', default: `${tmpdir()}/holdfast-bench-data` },
    ram: { type: 'string', default: '/dev/shm' },
    peer: { type: 'boolean', default: false },
  },
})

const dir = `${flags.data}/tiny`
makeTiny(dir, Number(flags.files))
const peer = flags.peer ? findPeer('restic-new') : undefined
const peak = runAll(holdfastTool())
if (peer !== undefined) runAll(resticTool(peer))
console.log(peak <= allowed ? 'within 1 GiB' : 'MORE than 1 GiB')
process.exitCode = peak <= allowed ? 0 : 1

function runAll(tool: ArchiveTool): number {
  const ram = mkdtempSync(`${flags.ram}/holdfast-many-`)
  mkdirSync(`${ram}/tmp`)
  const env = {
    RESTIC_REPOSITORY: `${ram}/repo`,
    RESTIC_PASSWORD: testPassword,
    HOLDFAST_REPOSITORY: `${ram}/repo`,
    HOLDFAST_PASSWORD: testPassword,
    XDG_CACHE_HOME: `${ram}/cache`,
    TMPDIR: `${ram}/tmp`,
  }
  const step = (title: string, args: readonly string[]): number => {
    const cost = measure({ command: [...tool.command, ...args], cwd: dir, env }, `${ram}/tmp`)
    const mebibytes = (cost.peakRss / 2 ** 20).toFixed(0)
    console.log(
      `${tool.name}, ${flags.files} files, ${title}: ${cost.wall.toFixed(1)} s, ${cost.cpu.toFixed(1)} core-s, peak ${mebibytes} MiB`,
    )
    return cost.peakRss
  }
  try {
    step('init', ['init'])
    return Math.max(
      step('first backup', ['backup', '.']),
      step('backup, nothing changed', ['backup', '.']),
      step('check', ['check']),
      step('restore', ['restore', 'latest', '--target', `${ram}/restored`]),
    )
  } finally {
    rmSync(ram, { recursive: true, force: true })
  }
}
