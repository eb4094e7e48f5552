import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Peer } from './peers.ts'

/** Holdfast's CLI or a stock restic: both take restic's verbs and flags, so the tests drive them alike. */
export interface ArchiveTool {
  readonly name: string
  /** Program and leading arguments, before the verb. */
  readonly command: readonly string[]
  readonly isHoldfast: boolean
  /** `[major, minor]` of the restic whose behaviour to expect; Holdfast counts as the newest. */
  readonly minor: number
}

export interface ToolRun {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface ToolOptions {
  readonly repo: string
  readonly password?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string | Buffer
}

export const testPassword = 'test password'

/** HOLDFAST_CLI names another program to test in place of the working tree's (for example an installed one). */
export function holdfastTool(): ArchiveTool {
  const given = process.env['HOLDFAST_CLI']
  const bin = fileURLToPath(new URL('../apps/cli/bin/holdfast.js', import.meta.url))
  const command = given === undefined ? [process.execPath, bin, 'archive'] : given.split(' ')
  return { name: 'holdfast', command, isHoldfast: true, minor: 99 }
}

export function resticTool(peer: Peer): ArchiveTool {
  const minor = Number(peer.version.split('.')[1])
  return { name: `restic ${peer.version}`, command: [peer.command, '--no-cache'], isHoldfast: false, minor }
}

/** Runs one verb to its end. Never throws for a bad exit; see `mustRun`. */
export function runTool(tool: ArchiveTool, options: ToolOptions, args: readonly string[]): ToolRun {
  const [program = '', ...leading] = tool.command
  const run = spawnSync(program, [...leading, ...args], {
    env: toolEnvironment(options),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.input === undefined ? {} : { input: options.input }),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (run.error !== undefined) throw run.error
  return { status: run.status, signal: run.signal, stdout: run.stdout, stderr: run.stderr }
}

/** Runs one verb that has to succeed, and returns what it printed on stdout. */
export function mustRun(tool: ArchiveTool, options: ToolOptions, args: readonly string[]): string {
  const run = runTool(tool, options, args)
  if (run.status !== 0) throw new Error(describeRun(tool, args, run))
  return run.stdout
}

/** Starts one verb and returns at once. */
export function startTool(tool: ArchiveTool, options: ToolOptions, args: readonly string[]): ChildProcess {
  const [program = '', ...leading] = tool.command
  return spawn(program, [...leading, ...args], {
    env: toolEnvironment(options),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
}

export function describeRun(tool: ArchiveTool, args: readonly string[], run: ToolRun): string {
  return `${tool.name} ${args.join(' ')}\nexit ${run.status ?? run.signal}\n${run.stdout}\n${run.stderr}`
}

/** The message of type `type` (restic's `message_type`) from a run with --json. */
export function jsonMessage(stdout: string, type: string): Readonly<Record<string, unknown>> {
  const found = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .findLast((message) => message['message_type'] === type)
  if (found === undefined) throw new Error(`no ${type} message in:\n${stdout}`)
  return found
}

function toolEnvironment(options: ToolOptions): NodeJS.ProcessEnv {
  const password = options.password ?? testPassword
  return {
    ...process.env,
    RESTIC_REPOSITORY: options.repo,
    RESTIC_PASSWORD: password,
    HOLDFAST_REPOSITORY: options.repo,
    HOLDFAST_PASSWORD: password,
    ...options.env,
  }
}
