export { type BackupOptions, type BackupResult, backup, type StreamSource } from './backup/backup.ts'
export type { EntryProblem, ReadingRules } from './backup/backup-job.ts'
export { type ExcludeOptions, openSelection, type Selection } from './backup/exclude.ts'
export { compilePatterns, type PathMatch } from './backup/path-matcher.ts'
export { readPatternFile } from './backup/pattern-file.ts'
export { compareNames, nameFromBytes, nameToBytes } from './format/byte-name.ts'
export { parseGoTime } from './format/go-time.ts'
export type { Hex } from './format/ids.ts'
export type { Snapshot, SnapshotSummary, StoredSnapshot } from './format/snapshot.ts'
export type { NodeType, TreeNode } from './format/tree.ts'
export { type CheckOptions, type CheckResult, check } from './maintain/check.ts'
export { parseReadDataSubset, type ReadData } from './maintain/check-subset.ts'
export { type CopyOptions, type CopyResult, copySnapshots } from './maintain/copy.ts'
export type { Finding, FindingKind } from './maintain/findings.ts'
export {
  type ForgetGroup,
  type ForgetOptions,
  type ForgetPlan,
  type ForgetResult,
  forget,
} from './maintain/forget.ts'
export {
  addKey,
  changePassword,
  type KeyListing,
  listKeys,
  type NewKeyOptions,
  removeKey,
} from './maintain/keys.ts'
export {
  type PruneOptions,
  type PrunePlan,
  type PruneResult,
  type PruneTotals,
  prune,
} from './maintain/prune.ts'
export type { UnusedLimit } from './maintain/prune-decision.ts'
export { type RepairIndexOptions, type RepairIndexResult, repairIndex } from './maintain/repair-index.ts'
export { type RepairPacksResult, repairPacks } from './maintain/repair-packs.ts'
export {
  type RepairedPath,
  type RepairedSnapshot,
  type RepairSnapshotsOptions,
  type RepairSnapshotsResult,
  repairSnapshots,
} from './maintain/repair-snapshots.ts'
export {
  describePolicy,
  type GroupBy,
  groupSnapshots,
  isEmptyPolicy,
  parseGroupBy,
  parseKeepCount,
  type RetentionDecision,
  type RetentionPolicy,
  type SnapshotGroup,
  type SnapshotGroupKey,
} from './maintain/retention.ts'
export { parseRetentionDuration, type RetentionDuration } from './maintain/retention-duration.ts'
export { type TagOptions, type TagResult, tag } from './maintain/tag.ts'
export { type Accounts, openAccounts } from './posix/accounts.ts'
export type { ProgressEvent, ProgressSink, ProgressStatus } from './progress.ts'
export { type CatKind, type CatOptions, type CatResult, catObject } from './query/cat-object.ts'
export {
  type DiffCounts,
  type DiffResult,
  type DiffTreesOptions,
  diffTrees,
  type TreeChange,
} from './query/diff-trees.ts'
export { type Dump, type DumpOptions, openDump } from './query/dump.ts'
export {
  type EntryPattern,
  type FindEntriesOptions,
  type FindObjectsOptions,
  type FoundEntry,
  type FoundObject,
  findEntries,
  findObjects,
} from './query/find-entries.ts'
export { findSubtree, splitSnapshotPath } from './query/find-subtree.ts'
export { type ListedNode, type ListTreeOptions, listTree } from './query/list-tree.ts'
export { type ResolvedTree, resolveTree } from './query/resolve-tree.ts'
export { type StatsMode, type StatsOptions, type StatsResult, stats } from './query/stats.ts'
export { type InitRepositoryOptions, initRepository } from './repository/init-repository.ts'
export {
  findSnapshot,
  type LoadedSnapshots,
  loadSnapshots,
  matchesFilter,
  type SnapshotFilter,
} from './repository/load-snapshots.ts'
export { type LockKind, type LockOptions, listLocks, removeStaleLocks, withLock } from './repository/locks.ts'
export { type OpenRepositoryOptions, openRepository, type Repository } from './repository/repository.ts'
export {
  planRestore,
  type RestoreOptions,
  type RestoreResult,
  restoreSnapshot,
} from './restore/restore-snapshot.ts'
export type { PathMatcher } from './restore/select-nodes.ts'
export type { BlobStore, FileName, FileType } from './stores/blob-store.ts'
export { openFilesystemStore } from './stores/filesystem.ts'
export { type OpenStoreOptions, openStore } from './stores/open-store.ts'
export type { S3StoreOptions } from './stores/s3-options.ts'
export type { RetryEvent, RetryOptions } from './stores/wrap/retry.ts'
