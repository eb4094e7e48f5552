import type { BackupResult } from '@holdfast/archive'
import { formatSize } from '../../terminal/format-size.ts'
import { formatDuration } from '../../terminal/format-time.ts'
import type { EventToJson } from '../../terminal/progress.ts'
import { fractionDone, secondsLeft } from '../../terminal/progress-view.ts'
import { countsJson } from './snapshot-json.ts'

/** restic's words for what a backup did. Pure. */
export function formatBackupSummary(
  result: BackupResult,
  options: { readonly dryRun: boolean; readonly verbose: number },
): readonly string[] {
  const { summary, snapshot, parent } = result
  const three = (first: number, second: number, third: number): string =>
    `${String(first).padStart(5)} new, ${String(second).padStart(5)} changed, ${String(third).padStart(5)} unmodified`
  const would = options.dryRun ? 'Would add' : 'Added'
  const lines = [
    parent === undefined
      ? 'no parent snapshot, all files were read'
      : `parent snapshot ${parent.id.slice(0, 8)}`,
    '',
    `Files:       ${three(summary.filesNew, summary.filesChanged, summary.filesUnmodified)}`,
    `Dirs:        ${three(summary.dirsNew, summary.dirsChanged, summary.dirsUnmodified)}`,
  ]
  if (options.verbose > 0) {
    lines.push(
      `Data Blobs:  ${String(summary.dataBlobs).padStart(5)} new`,
      `Tree Blobs:  ${String(summary.treeBlobs).padStart(5)} new`,
    )
  }
  lines.push(
    `${would} to the repository: ${formatSize(summary.dataAdded)} (${formatSize(summary.dataAddedPacked)} stored)`,
    '',
    `processed ${summary.totalFilesProcessed} files, ${formatSize(summary.totalBytesProcessed)} in ${formatDuration(result.durationMs / 1000)}`,
  )
  if (snapshot !== undefined) lines.push(`snapshot ${snapshot.id.slice(0, 8)} saved`)
  else if (!options.dryRun) lines.push('nothing changed since the parent snapshot, so no snapshot was made')
  return lines
}

/** restic's summary message. Pure. */
export function backupSummaryJson(result: BackupResult, dryRun: boolean): object {
  const { summary, snapshot } = result
  return {
    message_type: 'summary',
    dry_run: dryRun ? true : undefined,
    ...countsJson(summary),
    total_duration: result.durationMs / 1000,
    backup_start: summary.backupStart,
    backup_end: summary.backupEnd,
    snapshot_id: snapshot?.id,
  }
}

/** Events as restic's backup tells them in JSON; like there, what is zero or not known is left out of a status. */
export function backupEventJson(startedMs: number, now: () => number): EventToJson {
  return (event, measure) => {
    if (event.kind === 'error') {
      return {
        message_type: 'error',
        error: { message: event.message },
        during: event.during,
        item: event.path,
      }
    }
    if (event.kind === 'item') return itemJson(event.action, event.path, event.bytes)
    if (event.kind === 'note') return undefined
    return {
      message_type: 'status',
      seconds_elapsed: orNothing(Math.floor((now() - startedMs) / 1000)),
      seconds_remaining: orNothing(Math.floor(secondsLeft(measure) ?? 0)),
      percent_done: fractionDone(event) ?? 0,
      total_files: orNothing(event.filesTotal ?? 0),
      files_done: orNothing(event.filesDone),
      total_bytes: orNothing(event.bytesTotal ?? 0),
      bytes_done: orNothing(event.bytesDone),
      error_count: orNothing(event.errors ?? 0),
      current_files: event.currentFiles,
    }
  }
}

function itemJson(action: string, item: string, bytes: number): object {
  return {
    message_type: 'verbose_status',
    action,
    item,
    duration: 0,
    data_size: bytes,
    data_size_in_repo: 0,
    metadata_size: 0,
    metadata_size_in_repo: 0,
    total_files: 0,
  }
}

function orNothing(value: number): number | undefined {
  return value === 0 ? undefined : value
}
