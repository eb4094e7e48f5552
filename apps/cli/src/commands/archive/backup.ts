import {
  type BackupOptions as ArchiveBackupOptions,
  type BackupResult,
  backup,
  type Repository,
} from '@holdfast/archive'
import type { Command } from 'commander'
import type { Cli } from '../../cli.ts'
import { type ExitStatus, exitStatus } from '../../exit-codes.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { statusAsJson } from '../../terminal/print-error.ts'
import { openProgress } from '../../terminal/progress.ts'
import { definedOnly } from '../../values/defined-only.ts'
import type { Verb } from '../verb.ts'
import { addBackupFlags, type BackupFlags, type BackupOptions, parseBackup } from './backup-flags.ts'
import { backupEventJson, backupSummaryJson, formatBackupSummary } from './backup-output.ts'
import { openBackupSource } from './backup-source.ts'
import { withRepository } from './open-repository.ts'

export const backupVerb: Verb<BackupFlags, BackupOptions> = {
  path: ['backup'],
  summary: 'make a snapshot of files and directories',
  description:
    'Makes a snapshot of the files and directories given. Only what changed since the parent snapshot is read, only what the repository does not have yet is stored. Files that change or vanish while they are read are reported. With --stdin or --stdin-from-command a stream becomes one file.',
  operands: ['[path...]'],
  exit: { opens: true, incomplete: 'some files could not be read; the snapshot was made without them' },
  examples: [
    'holdfast archive backup -r /srv/backup /etc /home --exclude-caches',
    'holdfast archive backup --tag nightly --stdin-filename shop.sql --stdin-from-command -- pg_dump shop',
  ],
  addFlags: (command: Command) => addBackupFlags(command),
  parse: parseBackup,
  run: async (options, cli) => {
    const lock = options.dryRun && !options.repository.lock ? 'none' : 'shared'
    return await withRepository(
      options.repository,
      cli,
      { lock, output: options.output, readsIndex: true },
      async (repository, signal) => await makeSnapshot({ repository, signal }, options, cli),
    )
  },
}

async function makeSnapshot(
  opened: { readonly repository: Repository; readonly signal: AbortSignal },
  options: BackupOptions,
  cli: Cli,
): Promise<ExitStatus> {
  const { output } = options
  const say = (line: string): void => {
    if (!output.json && !output.quiet && output.verbose > 0) cli.screen.print(line)
  }
  const started = cli.now()
  say('load index files')
  await opened.repository.loadIndex()
  const result = await (async () => {
    using progress = openProgress({
      screen: cli.screen,
      now: cli.now,
      output,
      toJson: backupEventJson(started, cli.now),
    })
    const source = await openBackupSource(options, { cli, signal: opened.signal, report: progress.sink })
    return await backup(
      opened.repository,
      { ...archiveOptions(options, cli), ...source, signal: opened.signal },
      progress.sink,
    )
  })()
  printResult(result, options, cli)
  if (result.errorCount === 0) return exitStatus.done
  const message = 'Warning: at least one source file could not be read'
  cli.screen.warn(output.json ? statusAsJson(exitStatus.incomplete, message) : message)
  return exitStatus.incomplete
}

/** The options in the archive's terms, but for what is read and how far it is known beforehand. */
function archiveOptions(options: BackupOptions, cli: Cli): ArchiveBackupOptions {
  const { groupBy, repository } = options
  const groups = (['host', 'paths', 'tags'] as const).filter((what) => groupBy[what])
  return {
    ...definedOnly({
      hostname: options.host,
      parent: options.force ? 'none' : options.parent,
      timeNs: options.time === undefined ? undefined : BigInt(options.time) * 1_000_000n,
      packBytes: repository.packSize,
      workers: options.readConcurrency,
    }),
    tags: options.tags,
    groupBy: new Set(groups),
    reading: {
      ignoreCtime: options.ignoreCtime,
      ignoreInode: options.ignoreInode,
      withAtime: options.withAtime,
      fixedChunkBytes: options.fixedChunkBytes,
    },
    programVersion: `holdfast ${cli.version}`,
    dryRun: options.dryRun,
    skipIfUnchanged: options.skipIfUnchanged,
    verify: repository.verifyWrites,
  }
}

function printResult(result: BackupResult, options: BackupOptions, cli: Cli): void {
  const { output, dryRun } = options
  if (output.json) cli.screen.print(jsonLine(backupSummaryJson(result, dryRun)))
  else if (!output.quiet) {
    for (const line of formatBackupSummary(result, { dryRun, verbose: output.verbose }))
      cli.screen.print(line)
  }
}
