import { expect, test } from 'vitest'
import { countTests } from './count-tests.ts'

test('a file that fails without a failed test counts as a failure', () => {
  const passed = { status: 'passed', assertionResults: [{ status: 'passed' }] }
  const failed = { status: 'failed', assertionResults: [{ status: 'failed' }, { status: 'passed' }] }
  const broken = { status: 'failed', assertionResults: [] }

  expect(countTests({ numPassedTests: 1, numFailedTests: 0, testResults: [passed] })).toBe(
    '1 passed, 0 failed',
  )
  expect(countTests({ numPassedTests: 2, numFailedTests: 1, testResults: [passed, failed] })).toBe(
    '2 passed, 1 failed',
  )
  expect(countTests({ numPassedTests: 1, numFailedTests: 0, testResults: [passed, broken] })).toBe(
    '1 passed, 1 failed',
  )
})
