import { resolve } from 'node:path'
import type { SnapshotFilter } from '@holdfast/archive'
import type { Command } from 'commander'
import type { Environment } from '../../environment.ts'
import { repeated, repeatedText } from '../../values/repeated.ts'
import { tagList } from '../../values/tag-list.ts'

export interface FilterFlags {
  readonly host?: readonly string[]
  readonly tag?: readonly (readonly string[])[]
  readonly path?: readonly string[]
}

/** --host, --tag and --path: which snapshots are meant. `short` is left out where -H means something else. */
export function addFilterFlags(command: Command, options: { readonly short?: boolean } = {}): void {
  command
    .optionsGroup('Which snapshots:')
    .option(
      `${options.short === false ? '' : '-H, '}--host <host>`,
      'only those of this host (repeatable)',
      repeatedText,
    )
    .option(
      '--tag <tag,...>',
      "only those with all of these tags; '' means none (repeatable: any of the lists)",
      repeated(tagList),
    )
    .option('--path <path>', 'only those that contain this path (repeatable: all of them)', repeatedText)
}

/** The environment's host counts when no flag names one; `--host ''` takes it away again. Pure. */
export function parseFilter(flags: FilterFlags, environment: Environment): SnapshotFilter {
  const hosts = flags.host ?? (environment.host === undefined ? [] : [environment.host])
  return {
    hosts: hosts.length === 1 && hosts[0] === '' ? [] : hosts,
    tags: flags.tag ?? [],
    paths: (flags.path ?? []).map((path) => resolve(path)),
  }
}
