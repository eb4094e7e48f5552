/** Long walks: `HOLDFAST_WALK_SEEDS=1-20 HOLDFAST_WALK_STEPS=100 npm run walk`. */
import { runWalk } from './walk.ts'
import { readWalkPlan, walkTools } from './walk-plan.ts'

const plan = readWalkPlan({ seeds: [Math.floor(Date.now() / 1000)], steps: 100 })
const tools = walkTools()
console.log(
  `seeds ${plan.seeds.join(',')}, ${plan.steps} steps each, by ${tools.map((t) => t.name).join(', ')}`,
)
let failed = 0
for (const seed of plan.seeds) {
  try {
    await runWalk({ seed, steps: plan.steps, tools, log: (line) => console.log(line.slice(0, 200)) })
  } catch (error) {
    failed++
    console.error(error)
  }
}
console.log(`${plan.seeds.length - failed} of ${plan.seeds.length} walks passed, ${plan.steps} steps each`)
process.exitCode = failed === 0 ? 0 : 1
