/**
 * `npm run ok`: every gate a change must pass, cheapest first; one line per gate, and the output of the first
 * that fails.
 *
 *   npm run ok -- --without tests    leave gates out by name (CI has run the tests already)
 *   npm run ok -- --all              go on after a failure, to see everything at once
 */
import { spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

interface Gate {
  readonly name: string
  readonly command: readonly string[]
  readonly repair?: string
}

const gates: readonly Gate[] = [
  { name: 'format', command: ['npm', 'run', '-s', 'format:check'], repair: 'npm run format' },
  { name: 'tidy', command: ['npm', 'run', '-s', 'tidy'] },
  { name: 'types', command: ['npm', 'run', '-s', 'types'] },
  { name: 'lint', command: ['npm', 'run', '-s', 'lint'] },
  { name: 'dead', command: ['npm', 'run', '-s', 'dead'] },
  {
    name: 'generated',
    command: ['npm', 'run', '-s', 'generate', '--', '--check'],
    repair: 'npm run generate',
  },
  { name: 'tests', command: ['npm', 'test'] },
]

function ok(): void {
  const { values } = parseArgs({
    options: {
      without: { type: 'string', multiple: true, default: [] },
      all: { type: 'boolean', default: false },
    },
  })
  const unknown = values.without.find((name) => gates.every((gate) => gate.name !== name))
  if (unknown !== undefined)
    throw new Error(`no gate is called ${unknown}: ${gates.map(({ name }) => name).join(', ')}`)

  const chosen = gates.filter(({ name }) => !values.without.includes(name))
  const failed: string[] = []
  const startedAt = performance.now()
  for (const gate of chosen) {
    if (!pass(gate)) failed.push(gate.name)
    if (failed.length > 0 && !values.all) break
  }
  const verdict = failed.length === 0 ? `ok: ${chosen.length} gates` : `not ok: ${failed.join(', ')}`
  console.log(`${verdict} in ${secondsSince(startedAt)}`)
  process.exitCode = failed.length === 0 ? 0 : 1
}

function pass({ name, command, repair }: Gate): boolean {
  const [program = '', ...args] = command
  const startedAt = performance.now()
  const { status, error, stdout, stderr } = spawnSync(program, args, {
    cwd: dirname(dirname(fileURLToPath(import.meta.url))),
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  })
  if (error) throw error
  console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name.padEnd(10)} ${secondsSince(startedAt).padStart(8)}`)
  if (status === 0) return true
  console.log(`${stdout}${stderr}`.trimEnd())
  console.log(`FAIL ${name}: ${command.join(' ')}${repair === undefined ? '' : `; repair with: ${repair}`}`)
  return false
}

function secondsSince(startedAt: number): string {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
}

ok()
