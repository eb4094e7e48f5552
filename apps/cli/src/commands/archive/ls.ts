import { extname } from 'node:path'
import { compareNames, type ListedNode, listTree, parseGoTime, resolveTree } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { quoteName } from '../../terminal/quote-name.ts'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags } from './filter-flags.ts'
import { formatNode, nodeJson } from './node-text.ts'
import { withRepository } from './open-repository.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { type OneSnapshotOptions, parseOneSnapshot, type SnapshotFlags } from './snapshot-flags.ts'
import { snapshotJson } from './snapshot-json.ts'
import { describeSnapshot } from './snapshot-text.ts'

const sortKeys = ['name', 'size', 'time', 'mtime', 'atime', 'ctime', 'extension'] as const
export type LsSort = 'name' | 'size' | 'mtime' | 'atime' | 'ctime' | 'extension'

export interface LsOptions extends OneSnapshotOptions {
  readonly directories: readonly string[]
  readonly long: boolean
  readonly humanReadable: boolean
  readonly recursive: boolean
  readonly sort: LsSort
  readonly reverse: boolean
}

interface LsFlags extends SnapshotFlags {
  readonly long?: boolean
  readonly humanReadable?: boolean
  readonly recursive?: boolean
  readonly sort?: (typeof sortKeys)[number]
  readonly reverse?: boolean
}

export const lsVerb: Verb<LsFlags, LsOptions> = {
  path: ['ls'],
  summary: 'list the files of a snapshot',
  description:
    "Lists the files and directories of a snapshot; 'latest' is the newest that --host, --tag and --path admit. With directories after it (absolute paths within the snapshot) only what is in them is listed; --recursive also goes into theirs.",
  operands: ['<snapshot[:subfolder]>', '[directory...]'],
  exit: { opens: true },
  examples: ['holdfast archive ls -l latest /etc', 'holdfast archive ls --json latest | jq -r .path'],
  addFlags: (command: Command) => {
    command
      .option('-l, --long', 'also print mode, owner, size and time')
      .option('--human-readable', 'print sizes in KiB, MiB, ...')
      .option('--recursive', 'go into the directories of those listed')
      .option('-s, --sort <key>', `by ${sortKeys.join(', ')} (default name)`, choice('--sort', sortKeys))
      .option('--reverse', 'the other way round')
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => {
    const { flags } = given
    const directories = given.operands.slice(1)
    const relative = directories.find((directory) => !directory.startsWith('/'))
    if (relative !== undefined) {
      throw new HoldfastError(
        'InvalidInput',
        `found directory '${relative}', expected an absolute path within the snapshot`,
        {
          guidance: `Did you mean /${relative.replace(/^\.\//, '')}?`,
        },
      )
    }
    return {
      ...parseOneSnapshot(given),
      directories,
      long: flags.long === true,
      humanReadable: flags.humanReadable === true,
      recursive: flags.recursive === true,
      sort: flags.sort === 'time' ? 'mtime' : (flags.sort ?? 'name'),
      reverse: flags.reverse === true,
    }
  },
  run: async (options, cli) =>
    await withRepository(
      options.repository,
      cli,
      { lock: 'shared', output: options.output, readsIndex: true },
      async (repository) => {
        await repository.loadIndex()
        const { snapshot, tree } = await resolveTree(repository, options.snapshot, options.filter)
        const { screen } = cli
        if (options.output.json)
          screen.print(
            jsonLine({ ...snapshotJson(snapshot), message_type: 'snapshot', struct_type: 'snapshot' }),
          )
        else if (!options.output.quiet) screen.print(`${describeSnapshot(snapshot)}:`)
        const { directories, recursive } = options
        const listed = listTree(repository, { tree, directories, recursive })
        const inOrder =
          options.sort === 'name' && !options.reverse
            ? listed
            : sortNodes(await Array.fromAsync(listed), options)
        let printed = 0
        for await (const entry of inOrder) {
          screen.print(formatEntry(entry, options))
          if (++printed % 1000 === 0) {
            await screen.drained()
            cli.signal.throwIfAborted()
          }
        }
        return exitStatus.done
      },
    ),
}

function formatEntry({ path, node }: ListedNode, options: LsOptions): string {
  if (options.output.json) return jsonLine(nodeJson(path, node))
  return options.long ? formatNode(path, node, options) : quoteName(path)
}

type Compare = (a: ListedNode, b: ListedNode) => number

const comparisons: Readonly<Record<LsSort, Compare>> = {
  name: (a, b) => compareNames(a.path, b.path),
  size: (a, b) => a.node.size - b.node.size,
  mtime: (a, b) => compareTimes(a.node.mtime, b.node.mtime),
  atime: (a, b) => compareTimes(a.node.atime, b.node.atime),
  ctime: (a, b) => compareTimes(a.node.ctime, b.node.ctime),
  extension: (a, b) => compareNames(extname(a.node.name), extname(b.node.name)),
}

/** By one key; equal ones by path. Pure. */
export function sortNodes(
  nodes: readonly ListedNode[],
  order: { readonly sort: LsSort; readonly reverse: boolean },
): readonly ListedNode[] {
  const compare = comparisons[order.sort]
  const sorted = nodes.toSorted((a, b) => compare(a, b) || comparisons.name(a, b))
  return order.reverse ? sorted.toReversed() : sorted
}

function compareTimes(a: string, b: string): number {
  const difference = parseGoTime(a) - parseGoTime(b)
  return difference === 0n ? 0 : difference < 0n ? -1 : 1
}
