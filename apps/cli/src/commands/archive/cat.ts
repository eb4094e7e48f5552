import { type CatKind, catObject } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
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

const kinds = [
  'config',
  'masterkey',
  'pack',
  'blob',
  'snapshot',
  'index',
  'key',
  'lock',
  'tree',
] as const satisfies readonly CatKind[]

export interface CatOptions extends CommonOptions {
  readonly kind: CatKind
  /** Empty for the config and the master key, of which there is one. */
  readonly id: string
}

export const catVerb: Verb<RepositoryFlags, CatOptions> = {
  path: ['cat'],
  summary: 'print an object of the repository as it is stored, decrypted',
  description:
    'Prints one object: config, masterkey, or pack, blob, snapshot, index, key or lock with its id, or tree with snapshot:subfolder. The master key opens everything in the repository: do not leave it lying about.',
  operands: ['<kind>', '[id]'],
  exit: { opens: true },
  examples: [
    'holdfast archive cat config',
    'holdfast archive cat snapshot latest',
    'holdfast archive cat tree latest:/etc',
  ],
  addFlags: (command: Command) => addRepositoryFlags(command),
  parse: ({ operands, flags, environment }) => {
    const kind = choice('cat', kinds)(operands[0] ?? '')
    const id = operands[1] ?? ''
    const alone = kind === 'config' || kind === 'masterkey'
    if (alone !== (id === '')) {
      const what = alone
        ? `cat ${kind}: found '${id}' after it, expected nothing`
        : `cat ${kind}: found no id, expected one`
      throw new HoldfastError('InvalidInput', what, {
        guidance: alone ? 'Leave it out.' : `Run list to see the ids.`,
      })
    }
    return { ...parseCommon(flags, environment), kind, id }
  },
  run: async ({ repository: source, output, kind, id }, cli) =>
    await withRepository(source, cli, { lock: 'shared', output }, async (repository) => {
      if (kind === 'blob' || kind === 'tree') await repository.loadIndex()
      const { bytes, isText, warning } = await catObject(repository, { kind, id })
      if (isText) cli.screen.print(bytes.toString('utf8').trimEnd())
      else await cli.screen.write(bytes)
      if (warning !== undefined) cli.screen.warn(`warning: ${warning}`)
      return exitStatus.done
    }),
}
