import type { Command } from 'commander'
import { splitWords } from '../../values/split-words.ts'
import type { Given } from '../verb.ts'
import { refuseLocklessWriting } from './backup-flags.ts'
import type { PasswordSource } from './password.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

/** The options of verbs that make a key: `key add` and `key passwd`. */
export interface NewKeyOptions extends CommonOptions {
  readonly newPassword: PasswordSource
  readonly host: string | undefined
  readonly user: string | undefined
}

export interface NewKeyFlags extends RepositoryFlags {
  readonly newPasswordFile?: string
  readonly newPasswordCommand?: string
  readonly host?: string
  readonly user?: string
}

export function addNewKeyFlags(command: Command): void {
  command
    .option('--new-password-file <file>', 'read the new password from a file (default: ask for it)')
    .option('--new-password-command <command>', 'run a command that prints the new password')
    .option('--host <name>', 'record this host name with the key')
    .option('--user <name>', 'record this user name with the key')
  addRepositoryFlags(command)
}

/** The new password is never taken from the environment, where the old one is. Pure. */
export function parseNewKey({ flags, environment }: Given<NewKeyFlags>): NewKeyOptions {
  refuseLocklessWriting('key', flags)
  return {
    ...parseCommon(flags, environment),
    newPassword: newPasswordSource(flags),
    host: flags.host,
    user: flags.user,
  }
}

function newPasswordSource(flags: NewKeyFlags): PasswordSource {
  if (flags.newPasswordFile !== undefined) return { kind: 'file', path: flags.newPasswordFile }
  const command = flags.newPasswordCommand
  if (command !== undefined)
    return { kind: 'command', command: splitWords(command, '--new-password-command') }
  return { kind: 'prompt' }
}
