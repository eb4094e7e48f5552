import type { Repository } from '@holdfast/archive'
import type { Command } from 'commander'
import type { Cli } from '../../cli.ts'
import { exitStatus } from '../../exit-codes.ts'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { withRepository } from './open-repository.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

const listable = ['blobs', 'packs', 'index', 'snapshots', 'keys', 'locks'] as const

export interface ListOptions extends CommonOptions {
  readonly what: (typeof listable)[number]
}

export const listVerb: Verb<RepositoryFlags, ListOptions> = {
  path: ['list'],
  summary: 'list the files or blobs of the repository',
  description: `Prints the ids of everything of one kind: ${listable.join(', ')}.`,
  operands: ['<what>'],
  exit: { opens: true },
  addFlags: (command: Command) => addRepositoryFlags(command),
  parse: ({ operands, flags, environment }) => ({
    ...parseCommon(flags, environment),
    what: choice('list', listable)(operands[0] ?? ''),
  }),
  run: async ({ repository: source, output, what }, cli) =>
    await withRepository(
      source,
      cli,
      { lock: what === 'locks' ? 'none' : 'shared', output },
      async (repository) => {
        if (what === 'blobs') await printBlobs(repository, cli)
        else {
          const types = {
            packs: 'pack',
            index: 'index',
            snapshots: 'snapshot',
            keys: 'key',
            locks: 'lock',
          } as const
          for (const { id } of await repository.listFiles(types[what])) cli.screen.print(id)
        }
        return exitStatus.done
      },
    ),
}

async function printBlobs(repository: Repository, cli: Cli): Promise<void> {
  const index = await repository.loadIndex()
  let printed = 0
  for (const pack of index.packs()) {
    for (const { type, id } of index.packBlobs(pack)) cli.screen.print(`${type} ${id}`)
    if (++printed % 1000 === 0) await cli.screen.drained()
  }
}
