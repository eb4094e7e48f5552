/**
 * Prints `N passed, N failed` from a report of vitest's JSON reporter. A test file that failed without a failed
 * test in it (it did not load, or a hook threw) counts as one failure: it must not look like none.
 *
 *   node tools/count-tests.ts report.json
 */
import { readFileSync } from 'node:fs'

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

export function countTests(report: Report): string {
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every(({ status }) => status !== 'failed'),
  )
  return `${report.numPassedTests} passed, ${report.numFailedTests + brokenFiles.length} failed`
}

const [path] = process.argv.slice(2)
if (import.meta.main) {
  if (path === undefined) throw new Error('usage: node tools/count-tests.ts <report.json>')
  console.log(countTests(JSON.parse(readFileSync(path, 'utf8'))))
}
