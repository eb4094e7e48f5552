import type { Command } from 'commander'
import type { Environment } from '../../environment.ts'
import type { OutputOptions } from '../../terminal/progress.ts'

export interface OutputFlags {
  readonly json?: boolean
  readonly quiet?: boolean
  readonly verbose?: number
}

/** --json, --quiet and --verbose, which every verb takes. */
export function addOutputFlags(command: Command): void {
  command
    .optionsGroup('Output:')
    .option('--json', 'print JSON, in the shapes that restic prints')
    .option('-q, --quiet', 'print results and errors only, no progress')
    .option(
      '-v, --verbose',
      'print more; -vv also prints each file (--verbose=2 is the same)',
      (_: string, before: number) => before + 1,
      0,
    )
}

/** The output options; a HOLDFAST_PROGRESS_FPS that is not a positive number does not count. */
export function parseOutput(flags: OutputFlags, environment: Environment): OutputOptions {
  const perSecond = Number(environment.progressPerSecond)
  return {
    json: flags.json === true,
    quiet: flags.quiet === true,
    verbose: flags.verbose ?? 0,
    ...(perSecond > 0 && perSecond <= 60 ? { progressPerSecond: perSecond } : {}),
  }
}
