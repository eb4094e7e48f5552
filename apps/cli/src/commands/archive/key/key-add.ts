import { addKey } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../../exit-codes.ts'
import { jsonLine } from '../../../terminal/json-line.ts'
import { definedOnly } from '../../../values/defined-only.ts'
import type { Verb } from '../../verb.ts'
import { addNewKeyFlags, type NewKeyFlags, type NewKeyOptions, parseNewKey } from '../new-key-flags.ts'
import { withRepository } from '../open-repository.ts'
import { readPassword } from '../password.ts'

export const keyAddVerb: Verb<NewKeyFlags, NewKeyOptions> = {
  path: ['key', 'add'],
  summary: 'add a password',
  description:
    'Adds a key with a new password. All keys open the same data; removing one takes only its password away.',
  operands: [],
  exit: { opens: true },
  addFlags: (command: Command) => addNewKeyFlags(command),
  parse: parseNewKey,
  run: async ({ repository: target, output, newPassword, host, user }, cli) =>
    await withRepository(target, cli, { lock: 'shared', output }, async (repository, signal) => {
      const password = await readPassword(newPassword, cli, { what: 'new password', twice: true })
      const names = definedOnly({ hostname: host, username: user })
      const id = await addKey(repository, { password, ...names, lock: 'held', signal })
      if (output.json) cli.screen.print(jsonLine({ message_type: 'key_added', id }))
      else if (!output.quiet) cli.screen.print(`saved new key with ID ${id}`)
      return exitStatus.done
    }),
}
