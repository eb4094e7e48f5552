import { initRepository } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFromFlags, type FromFlags, parseFrom } from './from-flags.ts'
import { openLocation, withRepository } from './open-repository.ts'
import { readPassword } from './password.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
  type RepositoryOptions,
} from './repository-flags.ts'

export interface InitOptions extends CommonOptions {
  readonly version: 1 | 2
  /** The repository whose chunker polynomial is taken over. */
  readonly copyParametersFrom: RepositoryOptions | undefined
}

interface InitFlags extends RepositoryFlags, FromFlags {
  readonly repositoryVersion?: '1' | '2' | 'stable' | 'latest'
  readonly copyChunkerParams?: boolean
}

export const initVerb: Verb<InitFlags, InitOptions> = {
  path: ['init'],
  summary: 'make a new repository',
  description:
    'Makes a new repository. Whoever loses its password loses the data: there is no other way in. With --copy-chunker-params data copied from the source repository deduplicates with data backed up here.',
  operands: [],
  exit: { opens: false },
  examples: [
    'holdfast archive init -r /srv/backup -p /etc/backup.pass',
    'holdfast archive init -r s3:https://s3.example.org/bucket/shop',
  ],
  addFlags: (command: Command) => {
    command
      .option(
        '--repository-version <version>',
        'format: 1, 2, stable or latest (default stable, which is 2)',
        choice('--repository-version', ['1', '2', 'stable', 'latest']),
      )
      .option('--copy-chunker-params', 'take the chunker parameters of the source repository')
    addFromFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ flags, environment }) => ({
    ...parseCommon(flags, environment),
    version: flags.repositoryVersion === '1' ? 1 : 2,
    copyParametersFrom: flags.copyChunkerParams === true ? parseFrom(flags, environment) : undefined,
  }),
  run: async (options, cli) => {
    const { repository: target, output, version, copyParametersFrom: source } = options
    const polynomial =
      source === undefined
        ? undefined
        : await withRepository(
            source,
            cli,
            { lock: 'none', what: 'password for source repository', output },
            async (repo) => repo.config.chunkerPolynomial,
          )
    await using store = await openLocation(target, cli, output)
    const password = await readPassword(target.password, cli, {
      what: 'password for new repository',
      twice: true,
    })
    await using repository = await initRepository(store, {
      password,
      version,
      ...(polynomial === undefined ? {} : { polynomial }),
    })
    const { id } = repository.config
    if (output.json)
      cli.screen.print(jsonLine({ message_type: 'initialized', id, repository: store.location }))
    else if (!output.quiet) {
      cli.screen.print(`created repository ${id.slice(0, 10)} at ${store.location}`)
      cli.screen.print('')
      cli.screen.print('Keep the password safe: without it the data cannot be read by anyone.')
    }
    return exitStatus.done
  },
}
