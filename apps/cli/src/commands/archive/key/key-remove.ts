import { removeKey } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../../exit-codes.ts'
import { jsonLine } from '../../../terminal/json-line.ts'
import type { Verb } from '../../verb.ts'
import { refuseLocklessWriting } from '../backup-flags.ts'
import { withRepository } from '../open-repository.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from '../repository-flags.ts'

export interface KeyRemoveOptions extends CommonOptions {
  readonly id: string
}

export const keyRemoveVerb: Verb<RepositoryFlags, KeyRemoveOptions> = {
  path: ['key', 'remove'],
  summary: 'remove a password',
  description: 'Removes a key by its id or the beginning of it. The key in use cannot be removed.',
  operands: ['<id>'],
  exit: { opens: true },
  addFlags: (command: Command) => addRepositoryFlags(command),
  parse: ({ operands, flags, environment }) => {
    refuseLocklessWriting('key remove', flags)
    return { ...parseCommon(flags, environment), id: operands[0] ?? '' }
  },
  run: async ({ repository: target, output, id }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      const removed = await removeKey(repository, id, { lock: 'held', signal })
      if (output.json) cli.screen.print(jsonLine({ message_type: 'key_removed', id: removed }))
      else if (!output.quiet) cli.screen.print(`removed key ${removed}`)
      return exitStatus.done
    }),
}
