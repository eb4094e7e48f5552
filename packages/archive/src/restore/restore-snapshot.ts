import { closeSync, constants, mkdirSync, openSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import { openPosix, type Posix } from '../posix/posix.ts'
import type { ProgressSink } from '../progress.ts'
import type { Repository } from '../repository/repository.ts'
import type { Rights } from './apply-metadata.ts'
import type { Overwrite } from './decide-node.ts'
import { RestoreRun } from './restore-run.ts'
import type { RestoreSettings } from './restore-settings.ts'
import { type PathMatcher, selectNodes } from './select-nodes.ts'
import { openTally, type RestoreCounts, type RestoreError, type RestoreItem } from './tally.ts'
import { TargetTree } from './target-tree.ts'
import { walkSnapshot } from './walk-snapshot.ts'

export interface RestoreOptions {
  /** The tree to restore: a snapshot's, or that of a subfolder (see findSubtree). Its own metadata is not restored. */
  readonly tree: Hex
  /** A directory; made, with those above it, if it is not there. Links in this path itself are followed. */
  readonly target: string
  /** What to restore; at most one of the two. Everything when neither is given. */
  readonly include?: PathMatcher
  readonly exclude?: PathMatcher
  /** `always` by default. */
  readonly overwrite?: Overwrite
  /** Remove from restored directories what the snapshot does not have, where it is selected. */
  readonly delete?: boolean
  /** Write zeros as holes. */
  readonly sparse?: boolean
  /** Read everything that was written again and compare. Reads may come from the page cache. */
  readonly verify?: boolean
  /** Sockets are left out by default, as restic does. */
  readonly sockets?: 'skip' | 'create'
  /** Which extended attributes to restore and to remove; all by default, none with `false`. */
  readonly xattrs?: ((name: string) => boolean) | false
  /** Finds the owner to give; by default the numbers in the snapshot. */
  readonly ownerOf?: RestoreSettings['ownerOf']
  /** Worker threads; the machine's parallelism, at most 8, by default. */
  readonly workers?: number
  readonly signal?: AbortSignal
}

export interface RestoreResult extends RestoreCounts {
  /** The first thousand; `errorCount` counts all. Everything not named was restored as the snapshot has it. */
  readonly errors: readonly RestoreError[]
}

/**
 * Restores a tree into a directory. The index must have been loaded.
 *
 * - An entry that cannot be restored is reported and counted; the others are restored. Only an
 *   impossible request, cancellation, a store that stopped answering or a defect of our own is thrown.
 * - A file of several blobs is built under a name of its own in its directory
 *   (`.holdfast-<24 hex digits>.partial`) and takes its name when all of them are there and verified;
 *   one with a bad blob never does. A file that exists is written in place, blob by blob where it
 *   differs; if that fails, it loses its name to the partial one.
 * - Containment: below the target everything is done relative to directories opened without following
 *   links, so neither the snapshot nor somebody changing the target meanwhile can lead a write outside.
 * - Nothing is synced to disk; after a crash run it again: with `if-changed`, complete files are told
 *   by size and time, and blobs already written are found by their hash.
 * - Memory: the index, two batches of at most 65,536 blobs and 16,384 entries (some 25 MB each), per
 *   worker 18 MiB and the largest blob, with remote stores 16 MiB per connection, and some 300 bytes
 *   for each file with hard links.
 */
export async function restoreSnapshot(
  repository: Repository,
  options: RestoreOptions,
  report?: ProgressSink,
): Promise<RestoreResult> {
  return await runRestore(repository, options, { dryRun: false, report, visit: undefined })
}

/**
 * What restoreSnapshot would do, without doing it: the same walk and the same decisions. `visit` gets
 * every entry as it is decided. Files that exist are read where the policy does not trust their size
 * and time.
 */
export async function planRestore(
  repository: Repository,
  options: RestoreOptions,
  visit?: (item: RestoreItem) => void,
  report?: ProgressSink,
): Promise<RestoreResult> {
  return await runRestore(repository, options, { dryRun: true, report, visit })
}

interface RunKind {
  readonly dryRun: boolean
  readonly report: ProgressSink | undefined
  readonly visit: ((item: RestoreItem) => void) | undefined
}

async function runRestore(
  repository: Repository,
  options: RestoreOptions,
  kind: RunKind,
): Promise<RestoreResult> {
  refuseImpossible(options)
  const posix = openPosix()
  const settings = settingsFor(options, kind.dryRun)
  const tally = openTally(kind.report, kind.visit)
  const rootFd = openTarget(options.target, kind.dryRun)
  try {
    const target = openTargetTree(posix, settings, rootFd)
    const parts = { repository, settings, posix, target, tally, rootFd, workers: options.workers }
    await using run = new RestoreRun(parts)
    await walkSnapshot(run)
    if (settings.deleteOthers && run.selected === 0) tally.fail('/', 'delete', nothingSelected())
  } finally {
    if (rootFd !== undefined) closeSync(rootFd)
  }
  return { ...tally.counts, errors: tally.errors }
}

function openTargetTree(posix: Posix, settings: RestoreSettings, rootFd: number | undefined): TargetTree {
  const { rights, overwrite, dryRun, deleteOthers } = settings
  return new TargetTree({ posix, rootFd, rights, overwrite, dryRun, deleteOthers })
}

function settingsFor(options: RestoreOptions, dryRun: boolean): RestoreSettings {
  const all = (): boolean => true
  return {
    tree: options.tree,
    select: selectNodes(options.include, options.exclude),
    overwrite: options.overwrite ?? 'always',
    deleteOthers: options.delete ?? false,
    sparse: options.sparse ?? false,
    verify: options.verify ?? false,
    sockets: options.sockets ?? 'skip',
    dryRun,
    rights: ownRights(),
    xattrs: options.xattrs === false ? undefined : (options.xattrs ?? all),
    ownerOf: options.ownerOf ?? ((node) => node),
    signal: options.signal,
  }
}

function ownRights(): Rights {
  return { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1 }
}

function refuseImpossible(options: RestoreOptions): void {
  if (options.include !== undefined && options.exclude !== undefined) {
    throw new HoldfastError('InvalidInput', 'include and exclude patterns cannot be combined', {
      guidance: 'Give one kind; a pattern beginning with ! takes back the matches of those before it.',
    })
  }
  const everything = options.include === undefined && options.exclude === undefined
  if (options.delete === true && everything && resolve(options.target) === '/') {
    throw new HoldfastError('InvalidInput', 'deleting from / needs an include or exclude pattern', {
      guidance: 'Say with --include what may be deleted.',
    })
  }
}

function openTarget(path: string, dryRun: boolean): number | undefined {
  try {
    if (dryRun && statSync(path, { throwIfNoEntry: false }) === undefined) return undefined
    if (!dryRun) mkdirSync(path, { recursive: true, mode: 0o700 })
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    throw new HoldfastError('TargetUnwritable', `${path} cannot be restored into: ${text}`, {
      place: path,
      guidance: 'Give a directory you may write to, or one that can be made.',
      cause,
    })
  }
}

function nothingSelected(): HoldfastError {
  return new HoldfastError('InvalidInput', 'nothing in the snapshot was selected, so nothing was deleted', {
    guidance: 'Check the patterns: they match no entry of the snapshot.',
  })
}
