import { type ErrorCode, isHoldfastError } from '@holdfast/contract'
import type { ProgressSink } from '../progress.ts'
import type { MetadataProblem } from './apply-metadata.ts'

/** What became, or in a plan would become, of one entry. */
export type ItemAction = 'created' | 'updated' | 'unchanged' | 'skipped' | 'deleted'

export interface RestoreItem {
  readonly action: ItemAction
  readonly type: string
  /** Within the snapshot, from its root or the subfolder chosen. */
  readonly path: string
  /** The file's size; 0 for anything else. */
  readonly size: number
  /** Bytes that were or would be written. */
  readonly bytes: number
}

/** One entry that was not restored as the snapshot has it. */
export interface RestoreError {
  readonly path: string
  /** `restore`, `verify`, `metadata`, `delete`. */
  readonly during: string
  readonly code: ErrorCode
  readonly message: string
  /** Pack file and offset, for content that could not be read. */
  readonly place: string | undefined
}

export interface RestoreCounts {
  /** Entries to restore, of any type, other than those left as they are. */
  filesTotal: number
  filesRestored: number
  /** Left as they are, by policy or because nothing differed. */
  filesSkipped: number
  filesDeleted: number
  bytesTotal: number
  bytesRestored: number
  bytesSkipped: number
  /** Regular files only, these four. */
  created: number
  updated: number
  unchanged: number
  skipped: number
  /** Bytes that went to disk: less than restored where blobs were in place already or are holes. */
  bytesWritten: number
  filesVerified: number
  socketsSkipped: number
  /** Attributes that could not be set for want of rights or support, by kind. */
  warnings: Record<MetadataProblem['what'], number>
  errorCount: number
}

/** Errors kept by name; the count goes on. */
const MOST_ERRORS = 1000
const MOST_NOTES = 20

/** Counts and reports. One per run; the only place that knows both restic's words and ours. */
export interface Tally {
  readonly counts: RestoreCounts
  readonly errors: RestoreError[]
  /** An entry that will be restored: enlarges the totals. */
  expect(bytes: number): void
  /** An entry that is done, or in a plan would be. */
  item(item: RestoreItem): void
  fail(path: string, during: string, error: unknown): void
  metadata(path: string, problems: readonly MetadataProblem[]): void
  /** Bytes of content now in place. */
  progress(bytes: number): void
}

export function openTally(
  report: ProgressSink | undefined,
  visit: ((item: RestoreItem) => void) | undefined,
): Tally {
  const counts = noCounts()
  const errors: RestoreError[] = []
  let notes = 0
  const status = (): void =>
    report?.({
      kind: 'status',
      phase: 'restore',
      filesDone: counts.filesRestored,
      filesTotal: counts.filesTotal,
      bytesDone: counts.bytesRestored,
      bytesTotal: counts.bytesTotal,
      errors: counts.errorCount,
    })
  const fail = (path: string, during: string, error: unknown): void => {
    counts.errorCount++
    const described = describe(path, during, error)
    if (errors.length < MOST_ERRORS) errors.push(described)
    report?.({ kind: 'error', path, during, message: described.message })
  }
  return {
    counts,
    errors,
    fail,
    expect(bytes) {
      counts.filesTotal++
      counts.bytesTotal += bytes
    },
    item(item) {
      countItem(counts, item)
      visit?.(item)
      report?.({ kind: 'item', action: resticAction(item), path: item.path, bytes: item.size })
    },
    metadata(path, problems) {
      for (const { what, lenient, message } of problems) {
        if (!lenient) {
          fail(path, 'metadata', message)
          continue
        }
        counts.warnings[what]++
        if (notes++ < MOST_NOTES)
          report?.({ kind: 'note', message: `${path}: ${what} not restored: ${message}` })
      }
    },
    progress(bytes) {
      counts.bytesRestored += bytes
      status()
    },
  }
}

/** restic says "restored" for a new file and any directory, and "unchanged" for what a policy skips. */
function resticAction({ action, type }: RestoreItem): string {
  if (action === 'created' || (type === 'dir' && action === 'updated')) return 'restored'
  return action === 'skipped' ? 'unchanged' : action
}

function countItem(counts: RestoreCounts, { action, size, type }: RestoreItem): void {
  if (action === 'deleted') {
    counts.filesDeleted++
    return
  }
  if (type === 'file') counts[action]++
  if (action === 'created' || action === 'updated') {
    counts.filesRestored++
    return
  }
  counts.filesSkipped++
  counts.bytesSkipped += size
}

function describe(path: string, during: string, error: unknown): RestoreError {
  const known = isHoldfastError(error) ? error : undefined
  const message = error instanceof Error ? error.message : String(error)
  return { path, during, code: known?.code ?? 'TargetUnwritable', message, place: known?.place }
}

function noCounts(): RestoreCounts {
  return {
    filesTotal: 0,
    filesRestored: 0,
    filesSkipped: 0,
    filesDeleted: 0,
    bytesTotal: 0,
    bytesRestored: 0,
    bytesSkipped: 0,
    created: 0,
    updated: 0,
    unchanged: 0,
    skipped: 0,
    bytesWritten: 0,
    filesVerified: 0,
    socketsSkipped: 0,
    warnings: { owner: 0, xattr: 0, mode: 0, time: 0 },
    errorCount: 0,
  }
}
