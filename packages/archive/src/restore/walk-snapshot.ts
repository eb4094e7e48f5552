import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import { parseGoTime } from '../format/go-time.ts'
import type { TreeNode } from '../format/tree.ts'
import { type TreeEvent, treesAhead, walkTree } from '../query/walk-tree.ts'
import { type BatchSource, type Entry, planFile } from './plan-entries.ts'
import { createBatch, FIRST_BATCH, isFull, nextLimits, type RestoreBatch } from './restore-batch.ts'
import { type RestoreRun, StoreGone } from './restore-run.ts'
import { restoreSpecial } from './restore-special.ts'
import { runBatch } from './run-batch.ts'
import type { TargetDirectory } from './target-tree.ts'

/**
 * Walks the snapshot once, makes directories and entries without content on the way, and hands
 * everything else on in batches: while one is carried out the next is filled, never more.
 */
export async function walkSnapshot(run: RestoreRun): Promise<void> {
  const batches = openBatches(run)
  const stack: TargetDirectory[] = [run.target.root]
  let descend = false
  const events = walkTree(run.repository, run.settings.tree, {
    descend: () => descend,
    ...treesAhead(run.repository, (path) => run.settings.select(path, true).childMayBeSelected),
  })
  for await (const event of events) {
    run.throwIfCancelled()
    const directory = stack.at(-1)
    if (directory === undefined) throw new HoldfastError('Internal', 'the walk left its root')
    descend = await takeEvent({ run, batches, stack, directory }, event)
    if (batches.isFull()) await batches.next()
  }
  batches.current().left.push(run.target.root)
  await batches.finish()
}

interface Step {
  readonly run: RestoreRun
  readonly batches: BatchSource
  readonly stack: TargetDirectory[]
  readonly directory: TargetDirectory
}

/** True when the walk is to go into the directory that `event` is about. */
async function takeEvent(step: Step, event: TreeEvent): Promise<boolean> {
  const { run, batches, stack, directory } = step
  if (event.kind === 'leave') {
    stack.pop()
    batches.current().left.push(directory)
    return false
  }
  if (event.kind === 'failed') {
    // the event came for the directory that was about to be entered, so it is on the stack unless it is the root
    if (directory.path === event.path && stack.length > 1) {
      stack.pop()
      batches.current().left.push(directory)
    }
    directory.incomplete = true
    run.tally.fail(event.path, 'restore', event.error)
    run.noteStore(event.error)
    return false
  }
  const { node } = event
  directory.names?.add(node.name)
  const path = `${directory.path}/${node.name}`
  const { selected, childMayBeSelected } = run.settings.select(path, node.type === 'dir')
  if (selected) run.selected++
  if (node.type === 'dir') return enterDirectory(step, node, selected, childMayBeSelected)
  if (selected) await takeEntry(step, { directory, path, node })
  return false
}

function enterDirectory(
  { run, batches, stack, directory }: Step,
  node: TreeNode,
  selected: boolean,
  descend: boolean,
): boolean {
  if (!selected && !descend) return false
  const child = run.target.child(directory, node, parseGoTime(node.mtime))
  if (selected) run.tally.expect(0)
  child.counted = selected
  try {
    if (selected) run.target.ensure(child)
  } catch (error) {
    directory.incomplete = true
    run.tally.fail(child.path, 'restore', error)
    return false
  }
  if (descend) stack.push(child)
  else batches.current().left.push(child)
  return descend
}

async function takeEntry({ run, batches, directory }: Step, entry: Entry): Promise<void> {
  try {
    run.target.ensure(directory)
    if (entry.node.type === 'file') await planFile(run, entry, batches)
    else restoreSpecial(run, entry)
  } catch (error) {
    if (!concernsOneEntry(error)) throw error
    directory.incomplete = true
    run.tally.fail(entry.path, 'restore', error)
  }
}

/** Planning an entry may wait for a batch, and so meet what ended that; only a failed call is the entry's own. */
function concernsOneEntry(error: unknown): boolean {
  if (error instanceof StoreGone || isHoldfastError(error, 'Internal', 'Cancelled')) return false
  return isHoldfastError(error) || typeof (error as NodeJS.ErrnoException).code === 'string'
}

interface Batches extends BatchSource {
  isFull(): boolean
  finish(): Promise<void>
}

function openBatches(run: RestoreRun): Batches {
  let limits = FIRST_BATCH
  let batch = createBatch(limits)
  let running: Promise<void> = Promise.resolve()
  const handOver = async (): Promise<void> => {
    const full = batch
    await running
    running = runBatch(run, full)
    // looked at when the next batch is full; until then a failure is nobody's
    running.catch(() => undefined)
  }
  return {
    current: () => batch,
    isFull: () => isFull(batch, limits),
    async next(): Promise<RestoreBatch> {
      await handOver()
      limits = nextLimits(limits)
      batch = createBatch(limits)
      return batch
    },
    async finish() {
      await handOver()
      await running
    },
  }
}
