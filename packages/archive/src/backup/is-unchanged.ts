import type { BigIntStats } from 'node:fs'
import { formatGoTime, parseGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import type { ReadingRules } from './backup-job.ts'

/**
 * True when a regular file need not be read again: same size, modification time, inode change time
 * and inode as in the parent snapshot (restic's rule). The last two can be left out, for volumes
 * whose snapshots are mounted with new inodes or change times.
 */
export function isUnchanged(
  before: TreeNode,
  stat: BigIntStats,
  rules: Pick<ReadingRules, 'ignoreCtime' | 'ignoreInode'>,
): boolean {
  return (
    before.type === 'file' &&
    before.size === Number(stat.size) &&
    (rules.ignoreInode || before.inode === stat.ino) &&
    sameTime(before.mtime, stat.mtimeNs) &&
    (rules.ignoreCtime || sameTime(before.ctime, stat.ctimeNs))
  )
}

/** Text first: it is equal whenever the same zone wrote both. */
function sameTime(text: string, ns: bigint): boolean {
  return text === formatGoTime(ns) || parseGoTime(text) === ns
}
