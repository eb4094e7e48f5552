import type { Command } from 'commander'
import type { Environment } from '../../environment.ts'
import {
  findLocation,
  parseFromPassword,
  type RepositoryFlags,
  type RepositoryOptions,
  withTuning,
} from './repository-flags.ts'

export interface FromFlags {
  readonly fromRepo?: string
  readonly fromRepositoryFile?: string
  readonly fromPasswordFile?: string
  readonly fromPasswordCommand?: string
}

/** The second repository of `copy` and `init`. */
export function addFromFlags(command: Command): void {
  command
    .optionsGroup('Source repository:')
    .option('--from-repo <location>', 'the repository to read from ($HOLDFAST_FROM_REPOSITORY)')
    .option('--from-repository-file <file>', 'read its location from a file')
    .option('--from-password-file <file>', 'read its password from a file ($HOLDFAST_FROM_PASSWORD_FILE)')
    .option('--from-password-command <command>', 'run a command that prints its password')
}

export function parseFrom(flags: FromFlags & RepositoryFlags, environment: Environment): RepositoryOptions {
  const location = findLocation(
    { flag: flags.fromRepo, fileFlag: flags.fromRepositoryFile, stem: '--from-repo' },
    { value: environment.fromRepository, file: environment.fromRepositoryFile },
  )
  return withTuning(flags, environment, {
    location,
    password: parseFromPassword(flags, environment.fromPassword),
  })
}
