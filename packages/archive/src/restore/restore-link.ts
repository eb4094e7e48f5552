import { HoldfastError } from '@holdfast/contract'
import { nameToBytes } from '../format/byte-name.ts'
import { mayOverwrite } from './decide-node.ts'
import type { LinkAnchor, PlannedLink } from './restore-batch.ts'
import type { RestoreRun } from './restore-run.ts'
import { existingOf } from './target-tree.ts'

/** Gives a restored file one more of its names. Failures are reported. */
export function restoreLink(run: RestoreRun, link: PlannedLink): void {
  const { tally, target, settings } = run
  const { directory, node, anchor, path } = link
  const item = (action: 'created' | 'updated' | 'unchanged' | 'skipped'): void =>
    tally.item({ action, type: 'file', path, size: 0, bytes: 0 })
  try {
    if (anchor.failed) {
      throw new HoldfastError('Damaged', `it is a hard link to ${anchor.path}, which could not be restored`)
    }
    const status = target.status(directory, node.name)
    if (status !== undefined && !mayOverwrite(link.mtimeNs, existingOf(status), settings.overwrite))
      return item('skipped')
    if (status !== undefined && status.nlink > 1 && isSameFile(run, status, anchor)) return item('unchanged')
    if (!settings.dryRun) makeLink(run, link, status !== undefined)
    item(status === undefined ? 'created' : 'updated')
  } catch (error) {
    directory.incomplete = true
    tally.fail(path, 'restore', error)
  }
}

function isSameFile(
  run: RestoreRun,
  status: { readonly dev: bigint; readonly ino: bigint },
  anchor: LinkAnchor,
): boolean {
  try {
    const first = run.posix.fstatat(run.target.fdOf(anchor.directory), nameToBytes(anchor.name))
    return first.dev === status.dev && first.ino === status.ino
  } catch {
    return false
  }
}

function makeLink(run: RestoreRun, { directory, node, anchor }: PlannedLink, exists: boolean): void {
  if (exists) run.target.clear(directory, node.name)
  const to = { dirFd: run.target.fd(directory), name: nameToBytes(node.name) }
  run.posix.linkat({ dirFd: run.target.fdOf(anchor.directory), name: nameToBytes(anchor.name) }, to)
}
