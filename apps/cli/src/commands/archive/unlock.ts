import { removeStaleLocks } from '@holdfast/archive'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import type { Verb } from '../verb.ts'
import { withRepository } from './open-repository.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

export interface UnlockOptions extends CommonOptions {
  readonly removeAll: boolean
}

interface UnlockFlags extends RepositoryFlags {
  readonly removeAll?: boolean
}

export const unlockVerb: Verb<UnlockFlags, UnlockOptions> = {
  path: ['unlock'],
  summary: 'remove locks that dead processes left behind',
  description:
    'Removes stale locks: those of processes that are gone from this host, and those not renewed for half an hour. A lock that another process holds is left alone unless --remove-all is given.',
  operands: [],
  exit: { opens: true },
  addFlags: (command: Command) => {
    command.option(
      '--remove-all',
      'remove every lock, also those in use: make sure that nothing else is running',
    )
    addRepositoryFlags(command)
  },
  parse: ({ flags, environment }) => ({
    ...parseCommon(flags, environment),
    removeAll: flags.removeAll === true,
  }),
  run: async ({ repository, output, removeAll }, cli) =>
    await withRepository(repository, cli, { lock: 'none', output }, async (opened) => {
      const removed = await removeStaleLocks(opened, { all: removeAll })
      if (removed.length > 0 && !output.quiet && !output.json)
        cli.screen.print(`removed ${removed.length} locks`)
      return exitStatus.done
    }),
}
