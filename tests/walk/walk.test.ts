import { describe, expect, it } from 'vitest'
import { runWalk } from './walk.ts'
import { readWalkPlan, walkTools } from './walk-plan.ts'

const plan = readWalkPlan({ seeds: [1, 2], steps: 12 })

describe('a random walk through the life of a repository', () => {
  it.each(plan.seeds)(
    'keeps every retained snapshot restoring equal after every step, seed %i',
    async (seed) => {
      await expect(runWalk({ seed, steps: plan.steps, tools: walkTools() })).resolves.toBeUndefined()
    },
    3_600_000,
  )
})
