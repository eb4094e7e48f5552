import type { ProgressSink } from '../progress.ts'
import type { Repository } from '../repository/repository.ts'
import { executePrune, type PruneResult } from './execute-prune.ts'
import { type PruneOptions, planPrune } from './plan-prune.ts'
import { underLock } from './under-lock.ts'

/**
 * Frees the space of data that no snapshot needs, under an exclusive lock: plans, then executes unless it is a
 * dry run. Errors: see `planPrune` and `executePrune`.
 */
export async function prune(
  repo: Repository,
  options: PruneOptions = {},
  report?: ProgressSink,
): Promise<PruneResult> {
  return await underLock(repo, 'exclusive', options, async (signal) => {
    const held = { ...options, lock: 'held' as const, ...(signal === undefined ? {} : { signal }) }
    const plan = await planPrune(repo, held, report)
    if (options.dryRun === true) {
      return { plan, executed: false, writtenPacks: [], writtenIndexFiles: [], notRemoved: [], swept: [] }
    }
    return await executePrune(repo, plan, { signal }, report)
  })
}

export type { PruneResult } from './execute-prune.ts'
export type { PruneOptions, PrunePlan, PruneTotals } from './plan-prune.ts'
