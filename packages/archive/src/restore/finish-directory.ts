import { applyMetadata } from './apply-metadata.ts'
import { metadataFor } from './build-jobs.ts'
import { removeEntry } from './remove-unexpected.ts'
import type { RestoreRun } from './restore-run.ts'
import type { TargetDirectory } from './target-tree.ts'

/**
 * The last step for a directory: remove what the snapshot does not have, if asked to, then set its
 * metadata, times last of all. Its children are finished.
 */
export function finishDirectory(run: RestoreRun, directory: TargetDirectory): void {
  const { tally, settings } = run
  if (directory.state === 'pending' || directory.state === 'failed') return
  if (settings.deleteOthers && directory.state === 'existing') removeUnexpected(run, directory)
  const { node } = directory
  if (node === undefined) return
  try {
    if (!settings.dryRun) {
      const removeOthers = directory.state === 'existing' || directory.hasDefaultAcl
      const metadata = metadataFor(node, settings, removeOthers)
      const fd = run.target.fd(directory)
      tally.metadata(directory.path, applyMetadata(run.posix, fd, metadata, settings.rights))
    }
    if (!directory.counted) tally.expect(0)
    const isNew = directory.state !== 'existing'
    tally.item({
      action: isNew ? 'created' : 'updated',
      type: 'dir',
      path: directory.path,
      size: 0,
      bytes: 0,
    })
  } catch (error) {
    tally.fail(directory.path, 'metadata', error)
  }
}

/**
 * Stores before forgets: where something could not be restored, nothing is removed, and nothing
 * anywhere if the selection took in nothing at all.
 */
function removeUnexpected(run: RestoreRun, directory: TargetDirectory): void {
  const { tally, settings, target, posix } = run
  if (directory.incomplete || directory.names === undefined || run.selected === 0) return
  for (const name of target.list(directory)) {
    const path = `${directory.path}/${name}`
    // restic asks as for a file, because the snapshot does not say what it is
    if (directory.names.has(name) || !settings.select(path, false).selected) continue
    try {
      const removed = (gone: string): void =>
        tally.item({ action: 'deleted', type: '', path: gone, size: 0, bytes: 0 })
      target.forget(path)
      removeEntry({ dirFd: target.fd(directory), name, path }, { posix, dryRun: settings.dryRun, removed })
    } catch (error) {
      tally.fail(path, 'delete', error)
    }
  }
}
