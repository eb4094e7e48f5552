import {
  compilePatterns,
  findSnapshot,
  findSubtree,
  type PathMatcher,
  planRestore,
  type Repository,
  type RestoreResult,
  readPatternFile,
  restoreSnapshot,
  splitSnapshotPath,
} from '@holdfast/archive'
import type { Command } from 'commander'
import type { Cli } from '../../cli.ts'
import { type ExitStatus, exitStatus } from '../../exit-codes.ts'
import { formatSize } from '../../terminal/format-size.ts'
import { formatDuration } from '../../terminal/format-time.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { statusAsJson } from '../../terminal/print-error.ts'
import { type EventToJson, openProgress } from '../../terminal/progress.ts'
import { fractionDone } from '../../terminal/progress-view.ts'
import { quoteName } from '../../terminal/quote-name.ts'
import { definedOnly } from '../../values/defined-only.ts'
import type { Verb } from '../verb.ts'
import { withRepository } from './open-repository.ts'
import { ownersByName } from './owners-by-name.ts'
import {
  addRestoreFlags,
  hasPatterns,
  type PatternOptions,
  parseRestore,
  type RestoreFlags,
  type RestoreOptions,
} from './restore-flags.ts'
import { describeSnapshot } from './snapshot-text.ts'

export const restoreVerb: Verb<RestoreFlags, RestoreOptions> = {
  path: ['restore'],
  summary: 'restore files from a snapshot',
  description:
    "Restores a snapshot, or with snapshot:subfolder a part of it, into a directory. Nothing is written outside of that directory, whatever the snapshot says. Files that are there already are compared and only what differs is written; --overwrite says which of them may be touched at all.\n\nThe snapshot is an id, the beginning of one, or 'latest' for the newest that --host, --tag and --path admit.",
  operands: ['<snapshot[:subfolder]>'],
  exit: { opens: true },
  examples: [
    'holdfast archive restore latest --target /tmp/look --include /etc',
    'holdfast archive restore 302a6ac3:/srv/shop --target /srv/shop --delete --dry-run -vv',
  ],
  addFlags: (command: Command) => addRestoreFlags(command),
  parse: parseRestore,
  run: async (options, cli) =>
    await withRepository(
      options.repository,
      cli,
      { lock: 'shared', output: options.output, readsIndex: true },
      async (repository, signal) => await restore({ repository, signal }, options, cli),
    ),
}

async function restore(
  opened: { readonly repository: Repository; readonly signal: AbortSignal },
  options: RestoreOptions,
  cli: Cli,
): Promise<ExitStatus> {
  const { repository, signal } = opened
  const { output, target } = options
  const started = cli.now()
  const { snapshot: ref, subfolder } = splitSnapshotPath(options.snapshot)
  const snapshot = await findSnapshot(repository, ref, options.filter)
  const matchers = definedOnly({
    include: compile(options.include, cli),
    exclude: compile(options.exclude, cli),
    xattrs: xattrFilter(options),
    ownerOf: options.ownershipByName ? ownersByName() : undefined,
  })
  await repository.loadIndex()
  const tree = await findSubtree(repository, snapshot.tree, subfolder)
  if (!output.json && !output.quiet)
    cli.screen.print(`restoring ${describeSnapshot(snapshot)} to ${quoteName(target)}`)
  const { overwrite, sparse, verify } = options
  const what = { tree, target, overwrite, sparse, verify, delete: options.delete, signal, ...matchers }
  const result = await (async () => {
    using progress = openProgress({ screen: cli.screen, now: cli.now, output, toJson: restoreEventJson })
    return options.dryRun
      ? await planRestore(repository, what, undefined, progress.sink)
      : await restoreSnapshot(repository, what, progress.sink)
  })()
  const seconds = (cli.now() - started) / 1000
  if (output.json) cli.screen.print(jsonLine(restoreSummaryJson(result, seconds)))
  else if (!output.quiet)
    for (const line of formatRestoreSummary(result, seconds, options)) cli.screen.print(line)
  if (result.errorCount === 0) return exitStatus.done
  const message = `There were ${result.errorCount} errors`
  cli.screen.warn(output.json ? statusAsJson(exitStatus.failed, message) : message)
  return exitStatus.failed
}

/** A path matches when one of the patterns does, with or without regard to case as each was given. */
function compile(options: PatternOptions, cli: Cli): PathMatcher | undefined {
  if (!hasPatterns(options)) return undefined
  const read = (files: readonly string[]): readonly string[] =>
    files.flatMap((file) => readPatternFile(file, cli.environment.variables))
  const exact = compilePatterns([...options.patterns, ...read(options.patternFiles)])
  const caseless = compilePatterns([...options.caseless, ...read(options.caselessFiles)], {
    insensitive: true,
  })
  return {
    matches: (path) => exact.matches(path) || caseless.matches(path),
    childMayMatch: (path) => exact.match(path).childMayMatch || caseless.match(path).childMayMatch,
  }
}

function xattrFilter(options: RestoreOptions): ((name: string) => boolean) | undefined {
  const { includeXattrs, excludeXattrs } = options
  if (includeXattrs.length > 0) {
    const include = compilePatterns(includeXattrs)
    return (name) => include.matches(name)
  }
  if (excludeXattrs.length === 0) return undefined
  const exclude = compilePatterns(excludeXattrs)
  return (name) => !exclude.matches(name)
}

/** restic's words for what happened. Pure. */
export function formatRestoreSummary(
  result: RestoreResult,
  seconds: number,
  options: { readonly dryRun: boolean; readonly verify: boolean },
): readonly string[] {
  const { filesTotal, filesRestored, filesSkipped, filesDeleted, bytesTotal, bytesRestored, bytesSkipped } =
    result
  const complete = filesRestored === filesTotal && bytesRestored === bytesTotal
  const amount = complete
    ? `${filesTotal} files/dirs (${formatSize(bytesTotal)})`
    : `${filesRestored} / ${filesTotal} files/dirs (${formatSize(bytesRestored)} / ${formatSize(bytesTotal)})`
  let line = `Summary: ${options.dryRun ? 'Would restore' : 'Restored'} ${amount} in ${formatDuration(seconds)}`
  if (filesSkipped > 0) line += `, skipped ${filesSkipped} files/dirs ${formatSize(bytesSkipped)}`
  if (filesDeleted > 0) line += `, deleted ${filesDeleted} files/dirs`
  const lines = [line]
  if (options.verify) lines.push(`verified ${result.filesVerified} files`)
  for (const [what, count] of Object.entries(result.warnings)) {
    if (count > 0)
      lines.push(`${what} of ${count} files/dirs could not be restored here (not allowed, or not supported)`)
  }
  return lines
}

/** restic's message; like there, what is zero is left out. Pure. */
export function restoreSummaryJson(result: RestoreResult, seconds: number): object {
  return { message_type: 'summary', ...countsJson(result, seconds) }
}

function countsJson(counts: RestoreCountsLike, seconds: number): object {
  const orNothing = (value: number): number | undefined => (value === 0 ? undefined : value)
  return {
    seconds_elapsed: orNothing(Math.floor(seconds)),
    total_files: orNothing(counts.filesTotal),
    files_restored: orNothing(counts.filesRestored),
    files_skipped: orNothing(counts.filesSkipped),
    files_deleted: orNothing(counts.filesDeleted),
    total_bytes: orNothing(counts.bytesTotal),
    bytes_restored: orNothing(counts.bytesRestored),
    bytes_skipped: orNothing(counts.bytesSkipped),
  }
}

type RestoreCountsLike = Pick<
  RestoreResult,
  | 'filesTotal'
  | 'filesRestored'
  | 'filesSkipped'
  | 'filesDeleted'
  | 'bytesTotal'
  | 'bytesRestored'
  | 'bytesSkipped'
>

/** Events as restic's restore tells them in JSON. Pure. */
export const restoreEventJson: EventToJson = (event, measure) => {
  if (event.kind === 'item') {
    return { message_type: 'verbose_status', action: event.action, item: event.path, size: event.bytes }
  }
  if (event.kind === 'error') {
    return {
      message_type: 'error',
      error: { message: event.message },
      during: event.during,
      item: event.path,
    }
  }
  if (event.kind === 'note') return undefined
  const counts = {
    filesTotal: event.filesTotal ?? 0,
    filesRestored: event.filesDone,
    filesSkipped: 0,
    filesDeleted: 0,
    bytesTotal: event.bytesTotal ?? 0,
    bytesRestored: event.bytesDone,
    bytesSkipped: 0,
  }
  return {
    message_type: 'status',
    percent_done: fractionDone(event) ?? 0,
    ...countsJson(counts, measure.elapsedMs / 1000),
  }
}
