import { statSync } from 'node:fs'
import { posix } from 'node:path'
import { addAbortSignal } from 'node:stream'
import {
  type BackupOptions as ArchiveBackupOptions,
  openSelection,
  type ProgressSink,
} from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Cli } from '../../cli.ts'
import type { BackupOptions, BackupSource } from './backup-flags.ts'
import { runCommandStream } from './command-stream.ts'
import { readFileLists } from './file-lists.ts'
import { startScan } from './scan-totals.ts'

export interface SourceContext {
  readonly cli: Cli
  readonly signal: AbortSignal
  readonly report: ProgressSink
}

type ArchiveSource = Pick<
  ArchiveBackupOptions,
  'paths' | 'images' | 'streams' | 'excludes' | 'selection' | 'totals'
>

/** What to read, in the archive's terms: paths with what is left out of them, or one stream. */
export async function openBackupSource(
  options: BackupOptions,
  context: SourceContext,
): Promise<ArchiveSource> {
  const { source } = options
  if (source.kind !== 'paths')
    return { streams: [{ path: streamPath(source.filename), open: openStream(source, context) }] }
  const targets = [...source.paths, ...(await readFileLists(source, context))]
  if (targets.length === 0) {
    throw new HoldfastError('InvalidInput', 'nothing to back up: the lists of files name nothing', {
      guidance: 'Check the files given with --files-from.',
    })
  }
  const images = options.readBlockDevices ? targets.filter(isBlockDevice) : []
  const paths = targets.filter((path) => !images.includes(path))
  const selection = openSelection(selectionOptions(options, context))
  const scanned = { paths, selection, signal: context.signal }
  const totals = options.scan && showsTotals(options, context.cli) ? { totals: startScan(scanned) } : {}
  return { paths, images, excludes: options.excludes.patterns, selection, ...totals }
}

function selectionOptions(
  options: BackupOptions,
  { cli, report }: SourceContext,
): Parameters<typeof openSelection>[0] {
  const { excludes } = options
  return {
    excludes: excludes.patterns,
    excludeFiles: excludes.patternFiles,
    insensitiveExcludes: excludes.caseless,
    insensitiveExcludeFiles: excludes.caselessFiles,
    excludeIfPresent: excludes.ifPresent,
    excludeCaches: excludes.caches,
    ...(excludes.largerThan === undefined ? {} : { excludeLargerThan: excludes.largerThan }),
    oneFileSystem: options.oneFileSystem,
    environment: cli.environment.variables,
    onWarning: (path, message) => report({ kind: 'note', message: `${path}: ${message}` }),
  }
}

/** Adding up sizes costs reads, so it is done only where somebody sees the percentage. */
function showsTotals(options: BackupOptions, cli: Cli): boolean {
  return !options.output.quiet && (cli.screen.isLive || options.output.json)
}

function isBlockDevice(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isBlockDevice() === true
}

/** Where a stream is in the snapshot: absolute and clean, as restic has it. Pure. */
export function streamPath(filename: string): string {
  const path = posix.resolve('/', filename)
  if (path !== '/') return path
  throw new HoldfastError(
    'InvalidInput',
    `--stdin-filename: found '${filename}', expected the name of a file`,
    {
      guidance: "Give a name such as 'shop.sql'.",
    },
  )
}

function openStream(
  source: Exclude<BackupSource, { kind: 'paths' }>,
  context: SourceContext,
): () => AsyncIterable<Uint8Array> {
  if (source.kind === 'command') return () => runCommandStream(source.command, context)
  return () => readInput(context)
}

/** Standard input, left at once when asked to, even if it gives nothing for hours. */
async function* readInput({ cli, signal }: SourceContext): AsyncGenerator<Uint8Array> {
  signal.throwIfAborted()
  // The loop below throws the error too; without a listener it would end the process beside it.
  cli.input.on('error', () => undefined)
  yield* addAbortSignal(signal, cli.input) as AsyncIterable<Uint8Array>
}
