import { type PruneOptions, type PruneResult, type PruneTotals, prune } from '@holdfast/archive'
import type { Command } from 'commander'
import type { Cli } from '../../cli.ts'
import { type ExitStatus, exitStatus } from '../../exit-codes.ts'
import { formatSize } from '../../terminal/format-size.ts'
import { jsonLine } from '../../terminal/json-line.ts'
import { type OutputOptions, openProgress } from '../../terminal/progress.ts'
import type { Verb } from '../verb.ts'
import { refuseLocklessWriting } from './backup-flags.ts'
import { withRepository } from './open-repository.ts'
import { addPruneFlags, type PruneChoices, type PruneFlags, parsePrune } from './prune-flags.ts'
import {
  addRepositoryFlags,
  type CommonOptions,
  parseCommon,
  type RepositoryFlags,
} from './repository-flags.ts'

export interface PruneVerbOptions extends CommonOptions {
  readonly choices: PruneChoices
  readonly dryRun: boolean
}

interface PruneVerbFlags extends RepositoryFlags, PruneFlags {
  readonly dryRun?: boolean
}

export const pruneVerb: Verb<PruneVerbFlags, PruneVerbOptions> = {
  path: ['prune'],
  summary: 'free the space of data that no snapshot needs',
  description:
    'Removes data that no snapshot refers to. First it is planned, then carried out in an order that leaves the repository whole wherever it is interrupted; pruning again completes the work.',
  operands: [],
  exit: { opens: true, incomplete: 'some files could not be removed; the next prune takes them' },
  examples: [
    'holdfast archive prune --dry-run',
    'holdfast archive prune --max-unused 10% --max-repack-size 5G',
  ],
  addFlags: (command: Command) => {
    command.option('-n, --dry-run', 'change nothing, say what would be done')
    addPruneFlags(command)
    addRepositoryFlags(command)
  },
  parse: ({ flags, environment }) => {
    refuseLocklessWriting('prune', flags)
    return { ...parseCommon(flags, environment), choices: parsePrune(flags), dryRun: flags.dryRun === true }
  },
  run: async ({ repository: target, output, choices, dryRun }, cli) =>
    await withRepository(target, cli, { lock: 'exclusive', output }, async (repository, signal) => {
      const packBytes = target.packSize === undefined ? {} : { packBytes: target.packSize }
      return await runPrune(
        { ...choices, ...packBytes, dryRun, lock: 'held', signal },
        { repository, cli, output },
      )
    }),
}

/** Prunes under the caller's lock and prints what was, or would be, freed. */
export async function runPrune(
  options: PruneOptions,
  context: {
    readonly repository: Parameters<typeof prune>[0]
    readonly cli: Cli
    readonly output: OutputOptions
  },
): Promise<ExitStatus> {
  const { repository, cli, output } = context
  const result = await (async () => {
    using progress = openProgress({ screen: cli.screen, now: cli.now, output })
    return await prune(repository, options, progress.sink)
  })()
  if (output.json) cli.screen.print(jsonLine(pruneJson(result)))
  else if (!output.quiet) for (const line of formatPrune(result, output.verbose)) cli.screen.print(line)
  for (const { id, error } of result.notRemoved)
    cli.screen.warn(`error: pack ${id} could not be removed: ${error.message}`)
  return result.notRemoved.length > 0 ? exitStatus.incomplete : exitStatus.done
}

/** What restic's prune tells, in its words. Pure. */
export function formatPrune(result: PruneResult, verbose: number): readonly string[] {
  const { plan, executed } = result
  const { totals } = plan
  const prunedBlobs = totals.removed.blobs + totals.repackedAway.blobs
  const remaining = {
    blobs: totals.used.blobs + totals.unused.blobs + totals.duplicate.blobs - prunedBlobs,
    bytes: totals.used.bytes + totals.unusedBytesAfter,
  }
  const share = remaining.bytes === 0 ? 0 : (totals.unusedBytesAfter / remaining.bytes) * 100
  const lines: string[] = []
  if (!executed) lines.push('Would have made the following changes:', '')
  if (verbose > 0) lines.push(...formatUse(totals))
  lines.push(
    amount('to repack:', totals.repacked),
    amount('this removes:', totals.repackedAway),
    amount('to delete:', totals.removed),
    amount('total prune:', { blobs: prunedBlobs, bytes: totals.freedBytes }),
    ...(totals.unreferencedBytes > 0 ? [`not in any index: ${formatSize(totals.unreferencedBytes)}`] : []),
    amount('remaining:', remaining),
    `unused size after prune: ${formatSize(totals.unusedBytesAfter)} (${share.toFixed(2)}% of remaining size)`,
  )
  if (verbose > 0) {
    lines.push(
      '',
      `to keep: ${plan.keptPacks} packs`,
      `to repack: ${plan.repack.length} packs`,
      `to delete: ${plan.remove.length} packs`,
    )
  }
  if (executed) lines.push('', 'done')
  return lines
}

function formatUse(totals: PruneTotals): readonly string[] {
  const duplicates = totals.duplicate.blobs > 0 ? [amount('duplicates:', totals.duplicate)] : []
  return [amount('used:', totals.used), ...duplicates, amount('unused:', totals.unused), '']
}

function amount(title: string, total: { readonly blobs: number; readonly bytes: number }): string {
  return `${title.padEnd(16)} ${String(total.blobs).padStart(8)} blobs / ${formatSize(total.bytes)}`
}

/** restic has no JSON for prune; this is ours. Pure. */
export function pruneJson(result: PruneResult): object {
  const { plan } = result
  const { totals } = plan
  return {
    message_type: 'summary',
    dry_run: result.executed ? undefined : true,
    packs_kept: plan.keptPacks,
    packs_repacked: plan.repack.length,
    packs_removed: plan.remove.length + plan.unreferenced.length,
    packs_not_removed: result.notRemoved.map(({ id }) => id),
    used_blobs: totals.used.blobs,
    used_bytes: totals.used.bytes,
    unused_blobs: totals.unused.blobs + totals.duplicate.blobs,
    unused_bytes: totals.unused.bytes + totals.duplicate.bytes,
    freed_bytes: totals.freedBytes,
    unused_bytes_after: totals.unusedBytesAfter,
  }
}
