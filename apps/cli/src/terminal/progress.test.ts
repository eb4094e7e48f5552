import type { ProgressStatus } from '@holdfast/archive'
import { expect, test } from 'vitest'
import { openProgress } from './progress.ts'
import { formatLiveProgress, formatPlainProgress } from './progress-view.ts'
import type { Screen } from './screen.ts'

const status: ProgressStatus = {
  kind: 'status',
  phase: 'backup',
  filesDone: 120,
  filesTotal: 240,
  bytesDone: 50 * 2 ** 20,
  bytesTotal: 200 * 2 ** 20,
  currentFiles: ['/srv/shop/database.sqlite'],
}
const measure = { status, elapsedMs: 5000, bytesPerSecond: 10 * 2 ** 20 }

test('a live status has share, bar, files, bytes, rate, time left and the file being read', () => {
  expect(formatLiveProgress(measure, { width: 120, colour: false })).toEqual([
    '[0:05]  25.0% ━━━━━━━━────────────────────── backup, 120 / 240 files, 50.000 MiB / 200.000 MiB, 10.000 MiB/s, ETA 0:15',
    '  /srv/shop/database.sqlite',
  ])
})

test('a live status never wraps, however narrow the terminal', () => {
  for (const width of [20, 40, 79, 80, 200]) {
    for (const line of formatLiveProgress(measure, { width, colour: false }))
      expect(line.length).toBeLessThan(Math.max(width, 21))
  }
})

test('without a total there is no share and no bar', () => {
  const { filesTotal: _files, bytesTotal: _bytes, ...open } = status
  const line = formatPlainProgress({ ...measure, status: open })
  expect(line).toBe('[0:05] backup, 120 files, 50.000 MiB, 10.000 MiB/s')
})

interface Recorded {
  readonly screen: Screen
  readonly statuses: (readonly string[])[]
  readonly lines: string[]
}

function recordingScreen(isLive: boolean): Recorded {
  const statuses: (readonly string[])[] = []
  const lines: string[] = []
  const screen: Screen = {
    isLive,
    isTerminal: isLive,
    colour: false,
    outputWidth: () => undefined,
    statusWidth: () => 100,
    print: (line) => lines.push(line),
    warn: (line) => lines.push(line),
    ask: () => undefined,
    write: async () => undefined,
    setStatus: (shown) => statuses.push(shown),
    drained: async () => undefined,
  }
  return { screen, statuses, lines }
}

const output = { json: false, quiet: false, verbose: 0 }

test('a terminal is drawn on at most ten times a second', () => {
  let at = 1_000_000
  const { screen, statuses } = recordingScreen(true)
  {
    using progress = openProgress({ screen, now: () => at, output })
    for (let step = 0; step < 1000; step++) {
      at += 1
      progress.sink({ ...status, bytesDone: step })
    }
  }
  // One at the start, then one for each tenth of the second; the last call takes the status away.
  expect(statuses.length).toBeLessThanOrEqual(12)
  expect(statuses.length).toBeGreaterThan(5)
  expect(statuses.at(-1)).toEqual([])
})

test('a log gets a line now and then, and nothing with --quiet but errors', () => {
  for (const quiet of [false, true]) {
    let at = 0
    const { screen, lines, statuses } = recordingScreen(false)
    using progress = openProgress({ screen, now: () => at, output: { ...output, quiet } })
    for (let second = 0; second < 60; second++) {
      at += 1000
      progress.sink(status)
    }
    progress.sink({ kind: 'error', path: '/x', during: 'scan', message: 'permission denied' })
    expect(lines.length).toBe(quiet ? 1 : 7)
    expect(lines.at(-1)).toBe('error: /x: permission denied')
    expect(statuses).toEqual([])
  }
})

test('items are shown with -vv only', () => {
  for (const verbose of [0, 1, 2]) {
    const { screen, lines } = recordingScreen(false)
    using progress = openProgress({ screen, now: () => 0, output: { ...output, verbose } })
    progress.sink({ kind: 'item', action: 'new', path: '/a\u0007', bytes: 1 })
    expect(lines).toEqual(verbose === 2 ? ['new       "/a\\x07"'] : [])
  }
})
