import type { ProgressSink } from '../progress.ts'
import {
  ENTRY_LARGE,
  ENTRY_MODIFIED,
  ENTRY_NEW,
  ENTRY_OTHER,
  ENTRY_SKIPPED,
  ENTRY_UNCHANGED,
  type EntryProblem,
} from './backup-job.ts'

/** Status events are at least this far apart. */
const STATUS_INTERVAL_MS = 100

/** Names kept of files that changed while read; the count goes on. */
const MAX_NAMED = 1000

export interface EntryCounts {
  filesNew: number
  filesModified: number
  filesUnchanged: number
  dirsNew: number
  dirsModified: number
  dirsUnchanged: number
  others: number
  bytes: number
  errors: number
}

/** Counts what a backup did and tells its listener, at a pace a person can read. */
export interface Tally {
  readonly counts: EntryCounts
  /** Paths that changed or lost an attribute while they were read, the first thousand. */
  readonly notes: readonly EntryProblem[]
  readonly failures: readonly EntryProblem[]
  entry(path: string, code: number, bytes: number): void
  /** Bytes of a large file, as they are read; its entry is counted with 0 bytes more. */
  bytes(count: number): void
  problem(problem: EntryProblem): void
  current(path: string): void
}

export interface TallyTotals {
  readonly files: number
  readonly bytes: number
}

export function createTally(report: ProgressSink | undefined, totals: () => TallyTotals | undefined): Tally {
  const counts: EntryCounts = {
    filesNew: 0,
    filesModified: 0,
    filesUnchanged: 0,
    dirsNew: 0,
    dirsModified: 0,
    dirsUnchanged: 0,
    others: 0,
    bytes: 0,
    errors: 0,
  }
  const notes: EntryProblem[] = []
  const failures: EntryProblem[] = []
  let current: readonly string[] = []
  let lastStatus = 0
  const status = (): void => {
    if (report === undefined || performance.now() - lastStatus < STATUS_INTERVAL_MS) return
    lastStatus = performance.now()
    const total = totals()
    report({
      kind: 'status',
      phase: 'backup',
      filesDone: counts.filesNew + counts.filesModified + counts.filesUnchanged,
      bytesDone: counts.bytes,
      errors: counts.errors,
      currentFiles: current,
      ...(total === undefined ? {} : { filesTotal: total.files, bytesTotal: total.bytes }),
    })
  }
  return {
    counts,
    notes,
    failures,
    entry(path, code, bytes) {
      const isDirectory = path.endsWith('/')
      if (code === ENTRY_OTHER) counts.others++
      const action = ACTIONS[code % ENTRY_LARGE]
      if (action === undefined) return
      counts[isDirectory ? action.directories : action.files]++
      counts.bytes += bytes
      report?.({ kind: 'item', action: action.word, path, bytes })
      status()
    },
    bytes(count) {
      counts.bytes += count
      status()
    },
    problem(problem) {
      const { path, message, fatal } = problem
      const list = fatal ? failures : notes
      if (list.length < MAX_NAMED) list.push(problem)
      if (!fatal) {
        report?.({ kind: 'note', message: `${path}: ${message}` })
        return
      }
      counts.errors++
      report?.({ kind: 'error', path, during: 'archival', message })
    },
    current(path) {
      current = [path]
      status()
    },
  }
}

const ACTIONS: Readonly<
  Record<
    number,
    | {
        readonly word: string
        readonly files: 'filesNew' | 'filesModified' | 'filesUnchanged'
        readonly directories: 'dirsNew' | 'dirsModified' | 'dirsUnchanged'
      }
    | undefined
  >
> = {
  [ENTRY_NEW]: { word: 'new', files: 'filesNew', directories: 'dirsNew' },
  [ENTRY_MODIFIED]: { word: 'modified', files: 'filesModified', directories: 'dirsModified' },
  [ENTRY_UNCHANGED]: { word: 'unchanged', files: 'filesUnchanged', directories: 'dirsUnchanged' },
  [ENTRY_SKIPPED]: undefined,
}
