import { tag } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { repeated } from '../../values/repeated.ts'
import { tagList } from '../../values/tag-list.ts'
import type { Verb } from '../verb.ts'
import { refuseLocklessWriting } from './backup-flags.ts'
import { addFilterFlags } from './filter-flags.ts'
import { withRepository } from './open-repository.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { type ManySnapshotsOptions, parseManySnapshots, type SnapshotFlags } from './snapshot-flags.ts'

export interface TagOptions extends ManySnapshotsOptions {
  /** All tags are replaced by these; none takes them all away. */
  readonly set: readonly string[] | undefined
  readonly add: readonly string[]
  readonly remove: readonly string[]
}

interface TagFlags extends SnapshotFlags {
  readonly set?: readonly (readonly string[])[]
  readonly add?: readonly (readonly string[])[]
  readonly remove?: readonly (readonly string[])[]
}

export const tagVerb: Verb<TagFlags, TagOptions> = {
  path: ['tag'],
  summary: 'change the tags of snapshots',
  description:
    'Replaces (--set), adds or removes tags of the snapshots named, or of all that the filter admits. A snapshot gets a new id by it; the id it was first made with is kept in it.',
  operands: ['[snapshot...]'],
  exit: { opens: true },
  examples: ['holdfast archive tag --add release,v2 302a6ac3'],
  addFlags: (command: Command) => {
    command
      .option('--set <tag,...>', "replace all tags (repeatable); '' takes them all away", repeated(tagList))
      .option('--add <tag,...>', 'add tags (repeatable)', repeated(tagList))
      .option('--remove <tag,...>', 'remove tags (repeatable)', repeated(tagList))
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => {
    const { flags } = given
    refuseLocklessWriting('tag', flags)
    if (flags.set === undefined && flags.add === undefined && flags.remove === undefined) {
      throw new HoldfastError('InvalidInput', 'nothing to do: found none of --set, --add and --remove', {
        guidance: 'Give at least one of them.',
      })
    }
    if (flags.set !== undefined && (flags.add !== undefined || flags.remove !== undefined)) {
      throw new HoldfastError(
        'InvalidInput',
        'found --set beside --add or --remove, expected one or the other',
        { guidance: 'Use --set alone: it replaces all tags.' },
      )
    }
    return {
      ...parseManySnapshots(given),
      set: flags.set === undefined ? undefined : flatten(flags.set),
      add: flatten(flags.add ?? []),
      remove: flatten(flags.remove ?? []),
    }
  },
  run: async ({ repository: target, output, ids, filter, set, add, remove }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      // An empty list of new tags takes all away; the archive's word for that is one empty tag.
      const change = set === undefined ? { add, remove } : { set: set.length === 0 ? [''] : set }
      const { changed, failed } = await tag(repository, { ids, filter, ...change, lock: 'held', signal })
      if (output.json) {
        for (const { oldId, newId } of changed) {
          cli.screen.print(
            jsonLine({ message_type: 'changed', old_snapshot_id: oldId, new_snapshot_id: newId }),
          )
        }
        cli.screen.print(jsonLine({ message_type: 'summary', changed_snapshots: changed.length }))
      } else if (!output.quiet)
        cli.screen.print(
          changed.length === 0 ? 'no snapshots were modified' : `modified ${changed.length} snapshots`,
        )
      for (const { id, error } of failed)
        cli.screen.warn(`error: snapshot ${id.slice(0, 8)} was not changed: ${error.message}`)
      return failed.length > 0 ? exitStatus.failed : exitStatus.done
    }),
}

function flatten(lists: readonly (readonly string[])[]): readonly string[] {
  return lists.flat().filter((tag) => tag !== '')
}
