import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import type { Environment } from '../environment.ts'
import { describeExitStatus, type ExitStatus } from '../exit-codes.ts'

/**
 * One command: what it is called, which flags it takes, how they become one options value (`parse`,
 * pure) and what is done with it (`run`). The options value is the seam: tests parse without running,
 * and run without parsing.
 */
export interface Verb<Flags, Options> {
  /** The words after the group, e.g. `['key', 'add']`. */
  readonly path: readonly string[]
  readonly summary: string
  readonly description: string
  /** In commander's notation: `<file>` is needed, `[file...]` is any number. */
  readonly operands: readonly string[]
  readonly exit: { readonly opens: boolean; readonly incomplete?: string }
  readonly examples?: readonly string[]
  readonly addFlags: (command: Command) => void
  readonly parse: (given: Given<Flags>) => Options
  readonly run: (options: Options, cli: Cli) => Promise<ExitStatus>
}

export interface Given<Flags> {
  readonly operands: readonly string[]
  readonly flags: Flags
  readonly environment: Environment
}

export interface MountContext {
  readonly cli: Cli
  readonly onDone: (status: ExitStatus) => void
}

/** Hangs a verb under `group`, making the groups between (`key`, `repair`) as needed. */
export function mountVerb<Flags, Options>(
  group: Command,
  verb: Verb<Flags, Options>,
  context: MountContext,
): void {
  const name = verb.path.at(-1) ?? ''
  const parent = verb.path.slice(0, -1).reduce(childGroup, group)
  const command = parent.command(name).summary(verb.summary).description(verb.description)
  for (const operand of verb.operands) command.argument(operand)
  verb.addFlags(command)
  if (verb.examples !== undefined) {
    command.addHelpText('after', `\nExamples:\n${verb.examples.map((line) => `  ${line}`).join('\n')}`)
  }
  command.addHelpText('after', describeExitStatus(verb.exit))
  command.action(async () => {
    const options = verb.parse({
      operands: command.args,
      flags: mergeFlags<Flags>(command),
      environment: context.cli.environment,
    })
    context.onDone(await verb.run(options, context.cli))
  })
}

const groupSummaries: Readonly<Record<string, string>> = {
  key: 'manage the passwords of the repository',
  repair: 'repair a damaged repository',
}

function childGroup(parent: Command, name: string): Command {
  const existing = parent.commands.find((command) => command.name() === name)
  if (existing !== undefined) return existing
  const summary = groupSummaries[name] ?? name
  const group = parent
    .command(name)
    .summary(summary)
    .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`)
  return group.enablePositionalOptions()
}

/** The verb's own flags win over those given to the group before it; -v adds up. */
function mergeFlags<Flags>(command: Command): Flags {
  const merged: Record<string, unknown> = {}
  let verbose = 0
  const chain: Command[] = []
  for (let at: Command | null = command; at !== null; at = at.parent) chain.unshift(at)
  for (const each of chain) {
    for (const [name, value] of Object.entries(each.opts())) {
      const isDefault = each.getOptionValueSource(name) === 'default'
      if (!isDefault || !(name in merged)) merged[name] = value
      if (name === 'verbose' && typeof value === 'number') verbose += value
    }
  }
  return { ...merged, verbose } as Flags
}
