import { type KeyListing, listKeys } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../../exit-codes.ts'
import { jsonLine } from '../../../terminal/json-line.ts'
import { quoteName } from '../../../terminal/quote-name.ts'
import { formatTable } from '../../../terminal/table.ts'
import type { Verb } from '../../verb.ts'
import { withRepository } from '../open-repository.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from '../repository-flags.ts'
import { snapshotTime } from '../snapshot-text.ts'

export const keyListVerb: Verb<RepositoryFlags, CommonOptions> = {
  path: ['key', 'list'],
  summary: 'list the keys, each of which is one password',
  description:
    'Lists the keys of the repository; * marks the one in use. Each opens it with its own password.',
  operands: [],
  exit: { opens: true },
  addFlags: (command: Command) => addRepositoryFlags(command),
  parse: ({ flags, environment }) => parseCommon(flags, environment),
  run: async ({ repository: source, output }, cli) =>
    await withRepository(source, cli, { lock: 'shared', output }, async (repository) => {
      const keys = await listKeys(repository)
      const readable = keys.filter(({ error }) => error === undefined)
      if (output.json) cli.screen.print(jsonLine(readable.map(keyJson)))
      else for (const line of formatKeys(readable, cli.screen.outputWidth())) cli.screen.print(line)
      const damaged = keys.filter(({ error }) => error !== undefined)
      for (const { id, error } of damaged)
        cli.screen.warn(`error: key ${id} cannot be read: ${error?.message}`)
      return damaged.length > 0 ? exitStatus.failed : exitStatus.done
    }),
}

/** restic's table: * marks the key in use. Pure apart from the process's time zone. */
export function formatKeys(keys: readonly KeyListing[], width: number | undefined): readonly string[] {
  return formatTable<KeyListing>(
    [
      { title: ' ID', cell: ({ id, current }) => [`${current ? '*' : ' '}${id.slice(0, 8)}`] },
      { title: 'User', cell: ({ username }) => [quoteName(username)], shrinks: true },
      { title: 'Host', cell: ({ hostname }) => [quoteName(hostname)], shrinks: true },
      { title: 'Created', cell: ({ created }) => [snapshotTime(created)] },
    ],
    keys,
    width,
  )
}

/** restic's JSON. Pure apart from the process's time zone. */
export function keyJson({ current, id, username, hostname, created }: KeyListing): object {
  return { current, id, userName: username, hostName: hostname, created: snapshotTime(created) }
}
