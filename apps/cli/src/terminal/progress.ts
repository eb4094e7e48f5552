import type { ProgressEvent, ProgressSink, ProgressStatus } from '@holdfast/archive'
import { jsonLine } from './json-line.ts'
import { formatLiveProgress, formatPlainProgress, type ProgressMeasure } from './progress-view.ts'
import { quoteName } from './quote-name.ts'
import type { Screen } from './screen.ts'

export interface OutputOptions {
  readonly json: boolean
  readonly quiet: boolean
  /** 0, 1 or 2: how often -v was given. */
  readonly verbose: number
  /** Times per second that a status is shown at most; undefined leaves it to the kind of output. */
  readonly progressPerSecond?: number
}

/** How one verb's events look in JSON; undefined leaves the event out. */
export type EventToJson = (event: ProgressEvent, measure: ProgressMeasure) => object | undefined

export interface Progress extends Disposable {
  readonly sink: ProgressSink
  /** Events of kind `error` so far. */
  readonly errors: () => number
}

const liveIntervalMs = 100
const jsonIntervalMs = 200
const plainIntervalMs = 10_000
const rateWindowMs = 10_000

interface ProgressContext {
  readonly screen: Screen
  readonly now: () => number
  readonly output: OutputOptions
  readonly toJson?: EventToJson
}

/**
 * Shows progress while it is open: a live bar on a terminal, else a line now and then, with --json
 * one object per event. Errors are shown always, items with -vv, notes unless --quiet.
 */
export function openProgress(context: ProgressContext): Progress {
  const { screen, output, now } = context
  const meter = openMeter(now)
  const interval = statusInterval(screen, output)
  let shownAt = output.json || !screen.isLive ? now() : 0
  let errors = 0

  const showStatus = (status: ProgressStatus): void => {
    meter.add(status)
    if (interval === undefined || now() - shownAt < interval) return
    shownAt = now()
    const measure = meter.measure()
    if (output.json) printJson(context, status, measure)
    else if (screen.isLive)
      screen.setStatus(formatLiveProgress(measure, { width: screen.statusWidth(), colour: screen.colour }))
    else screen.warn(formatPlainProgress(measure))
  }
  const sink: ProgressSink = (event) => {
    if (event.kind === 'error') errors++
    if (event.kind === 'status') showStatus(event)
    else if (output.json) printJson(context, event, meter.measure())
    else printEvent(screen, output, event)
  }
  return { sink, errors: () => errors, [Symbol.dispose]: () => screen.setStatus([]) }
}

function statusInterval(screen: Screen, output: OutputOptions): number | undefined {
  if (output.quiet) return undefined
  const least = screen.isLive && !output.json ? liveIntervalMs : 1
  if (output.progressPerSecond !== undefined) return Math.max(least, 1000 / output.progressPerSecond)
  if (output.json) return jsonIntervalMs
  return screen.isLive ? liveIntervalMs : plainIntervalMs
}

function printJson(context: ProgressContext, event: ProgressEvent, measure: ProgressMeasure): void {
  if (event.kind === 'item' && context.output.verbose < 2) return
  const message = context.toJson?.(event, measure)
  if (message === undefined) return
  if (event.kind === 'error') context.screen.warn(jsonLine(message))
  else context.screen.print(jsonLine(message))
}

function printEvent(
  screen: Screen,
  output: OutputOptions,
  event: Exclude<ProgressEvent, ProgressStatus>,
): void {
  if (event.kind === 'error')
    screen.warn(`error: ${event.path === '' ? '' : `${quoteName(event.path)}: `}${event.message}`)
  else if (event.kind === 'note' && !output.quiet) screen.warn(event.message)
  else if (event.kind === 'item' && output.verbose >= 2 && !output.quiet) {
    screen.print(`${event.action.padEnd(9)} ${quoteName(event.path)}`)
  }
}

interface Meter {
  add(status: ProgressStatus): void
  measure(): ProgressMeasure
}

/** Keeps when the phase began and the pace of the last seconds. */
function openMeter(now: () => number): Meter {
  let status: ProgressStatus = { kind: 'status', phase: '', filesDone: 0, bytesDone: 0 }
  let startedAt = now()
  let samples: { readonly at: number; readonly bytes: number }[] = []
  return {
    add: (next) => {
      const at = now()
      if (next.phase !== status.phase) {
        startedAt = at
        samples = [{ at, bytes: 0 }]
      }
      status = next
      const last = samples.at(-1)
      if (last === undefined || at - last.at >= 250) samples.push({ at, bytes: next.bytesDone })
      samples = samples.filter(
        (sample, index) => at - sample.at <= rateWindowMs || index === samples.length - 1,
      )
    },
    measure: () => {
      const at = now()
      const first = samples[0]
      const spanMs = first === undefined ? 0 : at - first.at
      const bytesPerSecond =
        first === undefined || spanMs < 500 ? undefined : ((status.bytesDone - first.bytes) * 1000) / spanMs
      return { status, elapsedMs: at - startedAt, bytesPerSecond }
    },
  }
}
