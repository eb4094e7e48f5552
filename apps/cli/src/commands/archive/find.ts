import type { SnapshotFilter } from '@holdfast/archive'
import {
  compilePatterns,
  type EntryPattern,
  type FoundEntry,
  type FoundObject,
  findEntries,
  findObjects,
  type Repository,
  type StoredSnapshot,
} from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import type { Cli } from '../../cli.ts'
import { exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { quoteName } from '../../terminal/quote-name.ts'
import { definedOnly } from '../../values/defined-only.ts'
import { parseWhen } from '../../values/parse-when.ts'
import { repeatedText } from '../../values/repeated.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags, parseFilter } from './filter-flags.ts'
import { formatNode, matchJson } from './node-text.ts'
import { withRepository } from './open-repository.ts'
import { addRepositoryFlags, type CommonOptions, parseCommon } from './repository-flags.ts'
import { selectSnapshots } from './select-snapshots.ts'
import type { SnapshotFlags } from './snapshot-flags.ts'
import { snapshotTime } from './snapshot-text.ts'

export interface FindOptions extends CommonOptions {
  readonly kind: 'name' | 'blob' | 'tree' | 'pack'
  readonly patterns: readonly string[]
  readonly snapshots: readonly string[]
  readonly filter: SnapshotFilter
  readonly ignoreCase: boolean
  /** Modification times, milliseconds since the epoch. */
  readonly oldest: number | undefined
  readonly newest: number | undefined
  readonly long: boolean
  readonly humanReadable: boolean
  readonly reverse: boolean
  readonly showPack: boolean
}

interface FindFlags extends SnapshotFlags {
  readonly blob?: boolean
  readonly tree?: boolean
  readonly pack?: boolean
  readonly ignoreCase?: boolean
  readonly oldest?: number
  readonly newest?: number
  readonly long?: boolean
  readonly humanReadable?: boolean
  readonly reverse?: boolean
  readonly showPackId?: boolean
  readonly snapshot?: readonly string[]
}

export const findVerb: Verb<FindFlags, FindOptions> = {
  path: ['find'],
  summary: 'find files by name, or blobs by id, in snapshots',
  description:
    'Looks through snapshots for files whose names match a pattern, newest snapshot first. A pattern with a slash is compared with the path. With --blob, --tree or --pack the patterns are ids.',
  operands: ['<pattern...>'],
  exit: { opens: true },
  examples: ["holdfast archive find '*.yml'", 'holdfast archive find --blob 420f620f --show-pack-id'],
  addFlags: (command: Command) => {
    command
      .option('--blob', 'the patterns are ids of data blobs')
      .option('--tree', 'the patterns are ids of trees')
      .option('--pack', 'the patterns are ids of packs')
      .option('--show-pack-id', 'also print the packs of blobs and trees found')
      .option('-i, --ignore-case', 'upper and lower case are the same')
      .option('-O, --oldest <time>', 'only files modified at or after', parseWhen('--oldest'))
      .option('-N, --newest <time>', 'only files modified at or before', parseWhen('--newest'))
      .option('-l, --long', 'also print mode, owner, size and time')
      .option('--human-readable', 'print sizes in KiB, MiB, ...')
      .option('-R, --reverse', 'oldest snapshot first')
      .option('-s, --snapshot <snapshot>', 'look in this snapshot (repeatable)', repeatedText)
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ operands, flags, environment }) => {
    const kinds = (['blob', 'tree', 'pack'] as const).filter((kind) => flags[kind] === true)
    if (kinds.length > 1) {
      throw new HoldfastError(
        'InvalidInput',
        `found ${kinds.map((kind) => `--${kind}`).join(' and ')}, expected at most one of them`,
        {
          guidance: 'Look for one kind at a time.',
        },
      )
    }
    return {
      ...parseCommon(flags, environment),
      kind: kinds[0] ?? 'name',
      patterns: operands,
      snapshots: flags.snapshot ?? [],
      filter: parseFilter(flags, environment),
      ignoreCase: flags.ignoreCase === true,
      oldest: flags.oldest,
      newest: flags.newest,
      long: flags.long === true,
      humanReadable: flags.humanReadable === true,
      reverse: flags.reverse === true,
      showPack: flags.showPackId === true,
    }
  },
  run: async (options, cli) =>
    await withRepository(
      options.repository,
      cli,
      { lock: 'shared', output: options.output, readsIndex: true },
      async (repository) => {
        await repository.loadIndex()
        const chosen = await selectSnapshots(repository, options.snapshots, options.filter, cli)
        const snapshots = options.reverse ? chosen : chosen.toReversed()
        if (options.kind === 'name') await findNames({ repository, snapshots }, options, cli)
        else await findIds({ repository, snapshots }, { kind: options.kind, options }, cli)
        return exitStatus.done
      },
    ),
}

interface Searched {
  readonly repository: Repository
  readonly snapshots: readonly StoredSnapshot[]
}

async function findNames({ repository, snapshots }: Searched, options: FindOptions, cli: Cli): Promise<void> {
  const times = definedOnly({ oldestNs: nanoseconds(options.oldest), newestNs: nanoseconds(options.newest) })
  const search = { pattern: findPattern(options.patterns, options.ignoreCase), ...times }
  const groups: { readonly snapshot: StoredSnapshot; readonly found: FoundEntry[] }[] = []
  for await (const entry of findEntries(repository, snapshots, search)) {
    cli.signal.throwIfAborted()
    const isNew = groups.at(-1)?.snapshot !== entry.snapshot
    if (isNew) groups.push({ snapshot: entry.snapshot, found: [] })
    if (options.output.json) groups.at(-1)?.found.push(entry)
    else printEntry(entry, { first: isNew, blank: groups.length > 1 }, options, cli)
  }
  if (options.output.json)
    cli.screen.print(jsonLine(groups.map(({ snapshot, found }) => groupJson(snapshot, found))))
}

/** A pattern with a slash is compared with the path, another with the name at any depth. Pure. */
export function findPattern(patterns: readonly string[], insensitive: boolean): EntryPattern {
  const compiled = patterns.map((pattern) => {
    const anchored = pattern.includes('/') ? `/${pattern.replace(/^\/+/, '')}` : pattern
    return compilePatterns([pattern.startsWith('**/') ? pattern : anchored], { insensitive })
  })
  return {
    // What is below a match is no match of its own here, as it is where things are left out.
    matches: (path) => compiled.some((each) => each.matches(path) && !each.matches(parentOf(path))),
    childMayMatch: (path) => compiled.some((each) => each.match(path).childMayMatch),
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

function printEntry(
  { snapshot, path, node }: FoundEntry,
  place: { readonly first: boolean; readonly blank: boolean },
  options: FindOptions,
  { screen }: Cli,
): void {
  if (place.first && place.blank) screen.print('')
  if (place.first && !options.output.quiet) {
    screen.print(
      `Found matching entries in snapshot ${snapshot.id.slice(0, 8)} from ${snapshotTime(snapshot.time)}`,
    )
  }
  screen.print(options.long ? formatNode(path, node, options) : quoteName(path))
}

function groupJson(snapshot: StoredSnapshot, found: readonly FoundEntry[]): object {
  return {
    matches: found.map(({ path, node }) => matchJson(path, node)),
    hits: found.length,
    snapshot: snapshot.id,
  }
}

async function findIds(
  { repository, snapshots }: Searched,
  { kind, options }: { readonly kind: 'blob' | 'tree' | 'pack'; readonly options: FindOptions },
  cli: Cli,
): Promise<void> {
  const found: FoundObject[] = []
  for await (const object of findObjects(repository, snapshots, { kind, ids: options.patterns })) {
    cli.signal.throwIfAborted()
    if (options.output.json) found.push(object)
    else for (const line of formatObject(object)) cli.screen.print(line)
    if (options.showPack && !options.output.json) {
      const type = object.objectType === 'tree' ? 'tree' : 'data'
      for (const { packId } of repository.index.find(type, object.id))
        cli.screen.print(` ... in pack ${packId}`)
    }
  }
  if (options.output.json) cli.screen.print(jsonLine(found.map(objectJson)))
}

function formatObject({ objectType, id, path, parentTree, snapshot }: FoundObject): readonly string[] {
  return [
    `Found ${objectType} ${id}`,
    ` ... ${objectType === 'tree' ? 'path' : 'in file'} ${quoteName(path)}`,
    ...(parentTree === undefined ? [] : [`     (tree ${parentTree})`]),
    ` ... in snapshot ${snapshot.id.slice(0, 8)} (${snapshotTime(snapshot.time)})`,
  ]
}

function objectJson({ objectType, id, path, parentTree, snapshot }: FoundObject): object {
  return {
    object_type: objectType,
    id,
    path,
    parent_tree: parentTree,
    snapshot: snapshot.id,
    time: snapshot.time,
  }
}

function nanoseconds(milliseconds: number | undefined): bigint | undefined {
  return milliseconds === undefined ? undefined : BigInt(milliseconds) * 1_000_000n
}
