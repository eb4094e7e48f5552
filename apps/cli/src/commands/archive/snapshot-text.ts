import type { GroupBy, SnapshotGroupKey, StoredSnapshot } from '@holdfast/archive'
import { formatSize } from '../../terminal/format-size.ts'
import { formatLocalTime } from '../../terminal/format-time.ts'
import { quoteName } from '../../terminal/quote-name.ts'
import { type Column, formatTable } from '../../terminal/table.ts'

export interface SnapshotTableOptions {
  /** Leaves the paths out and puts one tag on a line, as restic's --compact does. */
  readonly compact: boolean
  readonly width: number | undefined
  /** Why each is kept, by snapshot id; adds the column. */
  readonly reasons?: ReadonlyMap<string, readonly string[]>
}

/** The table of snapshots with its closing lines. Pure apart from the process's time zone. */
export function formatSnapshots(
  snapshots: readonly StoredSnapshot[],
  options: SnapshotTableOptions,
): readonly string[] {
  return [
    ...formatTable(snapshotColumns(snapshots, options), snapshots, options.width),
    'Timestamps shown in local time',
    `${snapshots.length} snapshots`,
  ]
}

function snapshotColumns(
  snapshots: readonly StoredSnapshot[],
  options: SnapshotTableOptions,
): readonly Column<StoredSnapshot>[] {
  const { compact, reasons } = options
  const columns: Column<StoredSnapshot>[] = [
    { title: 'ID', cell: ({ id }) => [id.slice(0, 8)] },
    { title: 'Time', cell: ({ time }) => [snapshotTime(time)] },
    { title: 'Host', cell: ({ hostname }) => [quoteName(hostname)], shrinks: true },
    { title: 'Tags', cell: ({ tags }) => (compact ? tags : [tags.join(',')]).map(quoteName), shrinks: true },
  ]
  if (reasons !== undefined) columns.push({ title: 'Reasons', cell: ({ id }) => reasons.get(id) ?? [] })
  if (!compact) columns.push({ title: 'Paths', cell: ({ paths }) => paths.map(quoteName), shrinks: true })
  if (snapshots.some(({ summary }) => summary !== undefined)) {
    const size = ({ summary }: StoredSnapshot): string =>
      summary === undefined ? '' : formatSize(summary.totalBytesProcessed)
    columns.push({ title: 'Size', cell: (snapshot) => [size(snapshot)], right: true })
  }
  return columns
}

/** `snapshot 302a6ac3 of [/srv] at 2026-11-21 05:23:48 by root@vm`. */
export function describeSnapshot(snapshot: StoredSnapshot): string {
  const { id, paths, time, username, hostname } = snapshot
  const who = quoteName(`${username}@${hostname}`)
  return `snapshot ${id.slice(0, 8)} of [${paths.map(quoteName).join(' ')}] at ${snapshotTime(time)} by ${who}`
}

/** `2026-11-21 05:23:48` in the process's zone. */
export function snapshotTime(time: string): string {
  return formatLocalTime(Date.parse(time))
}

/** `(host [vm], paths [/srv])`: what the snapshots of a group have in common. Pure. */
export function describeGroup(key: SnapshotGroupKey, by: GroupBy): string {
  const parts: string[] = []
  if (by.host) parts.push(`host [${quoteName(key.host)}]`)
  if (by.tags) parts.push(`tags [${key.tags.map(quoteName).join(', ')}]`)
  if (by.paths) parts.push(`paths [${key.paths.map(quoteName).join(', ')}]`)
  return `(${parts.join(', ')})`
}
