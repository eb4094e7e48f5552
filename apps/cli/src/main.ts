import { readFileSync } from 'node:fs'
import { HoldfastError } from '@holdfast/contract'
import type { Cli } from './cli.ts'
import { readEnvironment } from './environment.ts'
import { exitStatus, exitStatusOf } from './exit-codes.ts'
import { run } from './run.ts'
import { formatError, toHoldfastError } from './terminal/print-error.ts'
import { openScreen } from './terminal/screen.ts'

/** How long work may take to end in order after a fault, in ms. */
const unwindMs = 10_000

/** The process: its environment, streams and signals as one value, one run, one exit. */
export async function main(): Promise<void> {
  const environment = readEnvironment(process.env)
  const stop = new AbortController()
  let outputGone = false
  const screen = openScreen({
    output: process.stdout,
    errors: process.stderr,
    colour: environment.colour,
    onBroken: () => {
      outputGone = true
      stop.abort(new HoldfastError('Cancelled', 'nobody reads the output any more'))
    },
  })
  const cli: Cli = {
    environment,
    screen,
    input: process.stdin,
    signal: stop.signal,
    now: Date.now,
    version: readVersion(),
  }
  stopOnSignals(stop, cli)
  stopOnFaults(stop, cli)
  const status = await run(process.argv.slice(2), cli)
  process.exit(outputGone ? exitStatus.brokenPipe : status)
}

/**
 * The first signal ends the work in order (locks are released); the second ends the process at once. SIGHUP is not
 * one of them: restic's unlock sends it to find out whether the holder of a lock lives.
 */
function stopOnSignals(stop: AbortController, cli: Cli): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(exitStatus.interrupted)
      stop.abort(new HoldfastError('Cancelled', `stopped by ${signal}`))
      cli.screen.warn('stopping: letting go of the repository first (Ctrl-C again to stop at once)')
    })
  }
}

/** An error that nobody caught is ours. It is told like any other, after the locks are released if that still goes. */
function stopOnFaults(stop: AbortController, cli: Cli): void {
  const onFault = (thrown: unknown): void => {
    const error = toHoldfastError(thrown, new AbortController().signal)
    setTimeout(() => process.exit(exitStatusOf[error.code]), unwindMs).unref()
    if (stop.signal.aborted) for (const line of formatError(error)) cli.screen.warn(line)
    else stop.abort(error)
  }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)
}

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
