import { changePassword } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../../exit-codes.ts'
import { jsonLine } from '../../../terminal/json-line.ts'
import { definedOnly } from '../../../values/defined-only.ts'
import type { Verb } from '../../verb.ts'
import { addNewKeyFlags, type NewKeyFlags, type NewKeyOptions, parseNewKey } from '../new-key-flags.ts'
import { withRepository } from '../open-repository.ts'
import { readPassword } from '../password.ts'

export const keyPasswdVerb: Verb<NewKeyFlags, NewKeyOptions> = {
  path: ['key', 'passwd'],
  summary: 'change the password',
  description:
    'Adds a key with a new password, checks that it opens the repository, and removes the key in use. Whoever has a copy of the old key file and its password can still read the data: it is encrypted with the same master key.',
  operands: [],
  exit: { opens: true },
  addFlags: (command: Command) => addNewKeyFlags(command),
  parse: parseNewKey,
  run: async ({ repository: target, output, newPassword, host, user }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      const password = await readPassword(newPassword, cli, { what: 'new password', twice: true })
      const names = definedOnly({ hostname: host, username: user })
      const { added, removed } = await changePassword(repository, {
        password,
        ...names,
        lock: 'held',
        signal,
      })
      if (output.json) cli.screen.print(jsonLine({ message_type: 'key_changed', id: added, removed }))
      else if (!output.quiet)
        cli.screen.print(`saved new key with ID ${added}; the old one, ${removed.slice(0, 8)}, was removed`)
      return exitStatus.done
    }),
}
