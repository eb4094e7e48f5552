import type { SnapshotSummary, StoredSnapshot } from '@holdfast/archive'

/** A snapshot as restic's JSON output has it: empty members are left out. Pure. */
export function snapshotJson(snapshot: StoredSnapshot): Readonly<Record<string, unknown>> {
  return {
    time: snapshot.time,
    parent: snapshot.parent,
    tree: snapshot.tree,
    paths: snapshot.paths,
    hostname: nonEmpty(snapshot.hostname),
    username: nonEmpty(snapshot.username),
    uid: snapshot.uid === 0 ? undefined : snapshot.uid,
    gid: snapshot.gid === 0 ? undefined : snapshot.gid,
    excludes: snapshot.excludes.length === 0 ? undefined : snapshot.excludes,
    tags: snapshot.tags.length === 0 ? undefined : snapshot.tags,
    original: snapshot.original,
    program_version: snapshot.programVersion,
    summary: summaryJson(snapshot),
    id: snapshot.id,
    short_id: snapshot.id.slice(0, 8),
  }
}

function summaryJson({ summary }: StoredSnapshot): Readonly<Record<string, unknown>> | undefined {
  if (summary === undefined) return undefined
  return {
    backup_start: summary.backupStart,
    backup_end: summary.backupEnd,
    ...countsJson(summary),
  }
}

/** What a backup counted, under restic's names. */
export function countsJson(summary: SnapshotSummary): Readonly<Record<string, number>> {
  return {
    files_new: summary.filesNew,
    files_changed: summary.filesChanged,
    files_unmodified: summary.filesUnmodified,
    dirs_new: summary.dirsNew,
    dirs_changed: summary.dirsChanged,
    dirs_unmodified: summary.dirsUnmodified,
    data_blobs: summary.dataBlobs,
    tree_blobs: summary.treeBlobs,
    data_added: summary.dataAdded,
    data_added_packed: summary.dataAddedPacked,
    total_files_processed: summary.totalFilesProcessed,
    total_bytes_processed: summary.totalBytesProcessed,
  }
}

function nonEmpty(text: string): string | undefined {
  return text === '' ? undefined : text
}
