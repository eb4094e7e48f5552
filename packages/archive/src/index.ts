export { backup, type BackupOptions, type BackupResult, type StreamSource } from './backup/backup.ts'
export type { ReadingRules, EntryProblem } from './backup/backup-job.ts'
export { type BackupSelection, everything } from './backup/backup-selection.ts'
export type { ProgressEvent, ProgressSink, ProgressStatus } from './progress.ts'
export {
  findSnapshot,
  loadSnapshots,
  matchesFilter,
  type LoadedSnapshots,
  type SnapshotFilter,
} from './repository/load-snapshots.ts'
export { initRepository, type InitRepositoryOptions } from './repository/init-repository.ts'
export { openRepository, type OpenRepositoryOptions, type Repository } from './repository/repository.ts'
