import { type ArchiveTool, holdfastTool, resticTool } from '../archive-tool.ts'
import { findPeer } from '../peers.ts'

/** Which seeds to walk and how far, from the environment. */
export interface WalkPlan {
  readonly seeds: readonly number[]
  readonly steps: number
}

/** HOLDFAST_WALK_SEEDS is `7`, `1-20` or `3,5,8`; HOLDFAST_WALK_STEPS a number. */
export function readWalkPlan(defaults: WalkPlan): WalkPlan {
  const seeds = process.env['HOLDFAST_WALK_SEEDS']
  const steps = process.env['HOLDFAST_WALK_STEPS']
  return {
    seeds: seeds === undefined ? defaults.seeds : seeds.split(',').flatMap(seedRange),
    steps: steps === undefined ? defaults.steps : Number(steps),
  }
}

/** Holdfast first (it restores after each step), then whichever stock binaries are there. */
export function walkTools(): readonly ArchiveTool[] {
  const peers = (['restic-old', 'restic-new'] as const).flatMap((name) => findPeer(name) ?? [])
  return [holdfastTool(), holdfastTool(), ...peers.map(resticTool)]
}

function seedRange(text: string): readonly number[] {
  const [first = 0, last = first] = text.split('-').map(Number)
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}
