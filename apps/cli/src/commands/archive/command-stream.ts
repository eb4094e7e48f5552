import { spawn } from 'node:child_process'
import { HoldfastError } from '@holdfast/contract'
import type { Cli } from '../../cli.ts'

const tailBytes = 2000

/**
 * What a command prints. Its standard error goes through to ours. Ends well only if the command does:
 * a dump that was cut short throws CommandFailed after its last byte, so that no snapshot is made of it.
 */
export async function* runCommandStream(
  command: readonly string[],
  context: { readonly signal: AbortSignal; readonly cli: Pick<Cli, 'environment'> },
): AsyncGenerator<Uint8Array> {
  const [program = '', ...words] = command
  const env = withoutPasswords(context.cli.environment.variables)
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], signal: context.signal, env })
  let lastErrors = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', (text: string) => {
    lastErrors = (lastErrors + text).slice(-tailBytes)
  })
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : `it ended with ${signal ?? `exit code ${code}`}`),
    )
  })
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>
    const failure = await ended
    if (failure !== undefined) throw commandFailed(program, failure, lastErrors)
  } finally {
    child.kill()
  }
}

/** The command dumps data; what opens the repository is none of its business. */
export function withoutPasswords(
  variables: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const kept = Object.entries(variables).filter(([name]) => !/^(HOLDFAST|RESTIC)_(FROM_)?PASSWORD/.test(name))
  return Object.fromEntries(kept)
}

function commandFailed(program: string, failure: string, lastErrors: string): HoldfastError {
  const said = lastErrors.trim() === '' ? '' : `; it said: ${lastErrors.trim()}`
  return new HoldfastError('CommandFailed', `the command to back up failed: ${failure}${said}`, {
    place: program,
    guidance: 'No snapshot was made. Run the command by hand; it must exit with 0.',
  })
}
