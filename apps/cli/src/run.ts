import { HoldfastError } from '@holdfast/contract'
import { CommanderError } from 'commander'
import type { Cli } from './cli.ts'
import { type ExitStatus, exitStatus, exitStatusOf } from './exit-codes.ts'
import { buildProgram } from './program.ts'
import { errorAsJson, formatError, toHoldfastError } from './terminal/print-error.ts'

/** Runs one command line to its end. The one place where an error is printed and becomes an exit status. */
export async function run(argv: readonly string[], cli: Cli): Promise<ExitStatus> {
  let status: ExitStatus = exitStatus.done
  const program = buildProgram(cli, (done) => {
    status = done
  })
  try {
    await program.parseAsync(expandVerbose(argv), { from: 'user' })
  } catch (thrown) {
    status = report(thrown, argv, cli)
  }
  cli.screen.setStatus([])
  await cli.screen.drained()
  return status
}

/** restic's `--verbose=2` is `-v -v`. */
function expandVerbose(argv: readonly string[]): string[] {
  const end = argv.indexOf('--')
  return argv.flatMap((word, index) => {
    const level = end < 0 || index < end ? /^--verbose=(\d)$/.exec(word)?.[1] : undefined
    return level === undefined ? [word] : Array.from({ length: Number(level) }, () => '-v')
  })
}

function report(thrown: unknown, argv: readonly string[], cli: Cli): ExitStatus {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return exitStatus.done
  if (thrown instanceof CommanderError && thrown.code === 'commander.help') return exitStatus.failed
  const error = thrown instanceof CommanderError ? fromCommander(thrown) : toHoldfastError(thrown, cli.signal)
  if (argv.includes('--json')) cli.screen.warn(errorAsJson(error))
  else for (const line of formatError(error)) cli.screen.warn(line)
  if (cli.environment.debug) printCauses(error, cli)
  return exitStatusOf[error.code]
}

/** commander's complaint in our words: `error: unknown option '--exlude' (Did you mean --exclude?)`. */
function fromCommander(thrown: CommanderError): HoldfastError {
  const suggestion = /\((Did you mean [^)]*)\)\s*$/.exec(thrown.message)?.[1]
  const message = thrown.message
    .replace(/^error: /, '')
    .replace(/\s*\(Did you mean [^)]*\)\s*$/, '')
    .trim()
  return new HoldfastError('InvalidInput', message, {
    guidance: suggestion ?? 'Run the same command with --help to see what it takes.',
  })
}

function printCauses(error: unknown, cli: Cli): void {
  for (let at = error; at instanceof Error; at = at.cause) cli.screen.warn(at.stack ?? at.message)
}
