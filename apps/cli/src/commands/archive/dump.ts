import { open, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openDump, resolveTree } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { exitStatus } from '../../exit-codes.ts'
import { choice } from '../../values/choice.ts'
import type { Verb } from '../verb.ts'
import { addFilterFlags } from './filter-flags.ts'
import { withRepository } from './open-repository.ts'
import { addRepositoryFlags } from './repository-flags.ts'
import { type OneSnapshotOptions, parseOneSnapshot, type SnapshotFlags } from './snapshot-flags.ts'

export interface DumpOptions extends OneSnapshotOptions {
  readonly file: string
  readonly archive: 'tar'
  /** Standard output when undefined. */
  readonly target: string | undefined
}

interface DumpFlags extends SnapshotFlags {
  readonly archive?: 'tar'
  readonly target?: string
}

export const dumpVerb: Verb<DumpFlags, DumpOptions> = {
  path: ['dump'],
  summary: 'write a file, or a directory as tar, to standard output',
  description:
    'Writes the contents of a file in a snapshot to standard output, or to --target. A directory becomes a tar archive; / is the whole snapshot.',
  operands: ['<snapshot[:subfolder]>', '<file>'],
  exit: { opens: true },
  examples: [
    'holdfast archive dump latest /etc/hosts',
    'holdfast archive dump latest:/srv/shop / | tar -x -C /tmp/shop',
  ],
  addFlags: (command: Command) => {
    command
      .option(
        '-a, --archive <format>',
        'how to write a directory; tar is the only way so far',
        choice('--archive', ['tar']),
      )
      .option('-t, --target <file>', 'write to this file instead')
    addFilterFlags(command)
    addRepositoryFlags(command)
  },
  parse: (given) => ({
    ...parseOneSnapshot(given),
    file: given.operands[1] ?? '/',
    archive: given.flags.archive ?? 'tar',
    target: given.flags.target,
  }),
  run: async (options, cli) =>
    await withRepository(
      options.repository,
      cli,
      { lock: 'shared', output: options.output, readsIndex: true },
      async (repository, signal) => {
        await repository.loadIndex()
        const { tree } = await resolveTree(repository, options.snapshot, options.filter)
        const { bytes } = await openDump(repository, { tree, path: options.file })
        if (options.target !== undefined) await writeTarget(options.target, bytes, signal)
        else {
          for await (const part of bytes) {
            signal.throwIfAborted()
            await cli.screen.write(part)
          }
        }
        return exitStatus.done
      },
    ),
}

/** The whole of it, or no file. */
async function writeTarget(
  target: string,
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(target, 'w').catch((cause: unknown) => {
    throw unwritable(target, cause)
  })
  try {
    await pipeline(Readable.from(bytes, { objectMode: false }), file.createWriteStream(), { signal })
  } catch (cause) {
    await rm(target, { force: true })
    signal.throwIfAborted()
    throw cause instanceof HoldfastError ? cause : unwritable(target, cause)
  }
}

function unwritable(target: string, cause: unknown): HoldfastError {
  const message = `the dump cannot be written: ${(cause as Error).message}`
  return new HoldfastError('TargetUnwritable', message, { place: target, cause })
}
