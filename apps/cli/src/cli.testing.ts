import { Readable, Writable } from 'node:stream'
import { Command } from 'commander'
import type { Cli } from './cli.ts'
import { addRepositoryFlags } from './commands/archive/repository-flags.ts'
import { mountVerb, type Verb } from './commands/verb.ts'
import { readEnvironment } from './environment.ts'
import { exitStatus } from './exit-codes.ts'
import { openScreen } from './terminal/screen.ts'

export interface TestCli {
  readonly cli: Cli
  readonly stdout: () => string
  readonly stderr: () => string
}

/** A command's surroundings with nothing of the process in it: output is kept, the environment is given. */
export function testCli(variables: Readonly<Record<string, string>> = {}): TestCli {
  const output = recorder()
  const errors = recorder()
  const screen = openScreen({
    output: output.stream,
    errors: errors.stream,
    colour: false,
    onBroken: () => undefined,
  })
  const cli: Cli = {
    environment: readEnvironment(variables),
    screen,
    input: Readable.from([]),
    signal: new AbortController().signal,
    now: Date.now,
    version: '0.0.0-test',
  }
  return { cli, stdout: output.text, stderr: errors.text }
}

/** What a command line of one verb means, without running it. Global flags may stand before the verb's words. */
export async function parseVerb<Flags, Options>(
  verb: Verb<Flags, Options>,
  argv: readonly string[],
  variables: Readonly<Record<string, string>> = { HOLDFAST_REPOSITORY: '/repo', HOLDFAST_PASSWORD: 'secret' },
): Promise<Options> {
  const { cli } = testCli(variables)
  const found: Options[] = []
  const group = new Command('archive').enablePositionalOptions().exitOverride()
  group.configureOutput({ writeErr: () => undefined, writeOut: () => undefined })
  addRepositoryFlags(group)
  const run = async (options: Options): Promise<0> => {
    found.push(options)
    return exitStatus.done
  }
  mountVerb(group, { ...verb, run }, { cli, onDone: () => undefined })
  await group.parseAsync([...argv], { from: 'user' })
  const [options] = found
  if (options === undefined) throw new Error(`nothing was parsed from ${argv.join(' ')}`)
  return options
}

function recorder(): { readonly stream: Writable; readonly text: () => string } {
  const parts: string[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      parts.push(chunk.toString('utf8'))
      done()
    },
  })
  return { stream, text: () => parts.join('') }
}
