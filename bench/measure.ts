import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'

/** What one run of a program cost. Times in seconds, sizes in bytes. */
export interface Cost {
  readonly wall: number
  /** User and system time together, of the program and its children. */
  readonly cpu: number
  readonly peakRss: number
}

export interface MeasuredRun {
  readonly command: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * Runs a program to its end under GNU time (Debian package `time`), which reads the kernel's own accounting.
 * Throws with the program's output when it fails.
 */
export function measure(run: MeasuredRun, scratch: string): Cost {
  mkdirSync(scratch, { recursive: true })
  const report = `${scratch}/cost`
  const began = performance.now()
  const done = spawnSync('/usr/bin/time', ['-q', '-f', '%U %S %M', '-o', report, ...run.command], {
    cwd: run.cwd,
    env: { ...process.env, ...run.env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  const wall = (performance.now() - began) / 1000
  if (done.error !== undefined)
    throw new Error('GNU time is needed: apt-get install time', { cause: done.error })
  if (done.status !== 0)
    throw new Error(`${run.command.join(' ')}\n${done.stdout.slice(-4000)}${done.stderr.slice(-4000)}`)
  const [user = 0, system = 0, kibibytes = 0] = readFileSync(report, 'utf8').trim().split(' ').map(Number)
  rmSync(report)
  return { wall, cpu: user + system, peakRss: kibibytes * 1024 }
}

/** The middle of the values, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}
