import type { ProgressStatus } from '@holdfast/archive'
import { displayWidth, fitWidth } from './display-width.ts'
import { formatSize } from './format-size.ts'
import { formatDuration } from './format-time.ts'
import { quoteName } from './quote-name.ts'

export interface ProgressMeasure {
  readonly status: ProgressStatus
  /** Since the phase began. */
  readonly elapsedMs: number
  readonly bytesPerSecond: number | undefined
}

/** Done, from 0 to 1, by bytes, else by units, else by files; undefined while no total is known. */
export function fractionDone(status: ProgressStatus): number | undefined {
  const pairs = [
    [status.bytesDone, status.bytesTotal],
    [status.unitsDone ?? 0, status.unitsTotal],
    [status.filesDone, status.filesTotal],
  ] as const
  for (const [done, total] of pairs) {
    if (total !== undefined && total > 0) return Math.min(1, done / total)
  }
  return undefined
}

/** Seconds left at the pace so far, or undefined when that cannot be said. */
export function secondsLeft(measure: ProgressMeasure): number | undefined {
  const { status, bytesPerSecond, elapsedMs } = measure
  if (status.bytesTotal !== undefined && bytesPerSecond !== undefined && bytesPerSecond > 0) {
    return Math.max(0, status.bytesTotal - status.bytesDone) / bytesPerSecond
  }
  const fraction = fractionDone(status)
  if (fraction === undefined || fraction <= 0 || elapsedMs < 1000) return undefined
  return ((elapsedMs / 1000) * (1 - fraction)) / fraction
}

/** What a terminal of `width` columns shows: a bar with its figures, then the files being worked on. Pure. */
export function formatLiveProgress(
  measure: ProgressMeasure,
  options: { readonly width: number; readonly colour: boolean },
): readonly string[] {
  const width = Math.max(20, options.width - 1)
  const fraction = fractionDone(measure.status)
  const figures = describeProgress(measure)
  const percent = fraction === undefined ? '' : `${(fraction * 100).toFixed(1).padStart(5)}% `
  const prefix = `[${formatDuration(measure.elapsedMs / 1000)}] ${percent}`
  const room = width - displayWidth(prefix) - displayWidth(figures) - 1
  const bar =
    fraction === undefined || room < 12 ? '' : `${formatBar(fraction, Math.min(room, 30), options.colour)} `
  const first = bar === '' ? fitWidth(prefix + figures, width) : `${prefix}${bar}${figures}`
  const files = (measure.status.currentFiles ?? []).slice(0, 4)
  return [first, ...files.map((file) => fitWidth(`  ${quoteName(file)}`, width))]
}

/** The same as one line for a log. Pure. */
export function formatPlainProgress(measure: ProgressMeasure): string {
  const fraction = fractionDone(measure.status)
  const percent = fraction === undefined ? '' : `${(fraction * 100).toFixed(1)}% `
  return `[${formatDuration(measure.elapsedMs / 1000)}] ${percent}${describeProgress(measure)}`
}

function describeProgress(measure: ProgressMeasure): string {
  const { status, bytesPerSecond } = measure
  const parts: string[] = []
  const units = countOf(status.unitsDone, status.unitsTotal)
  parts.push(units === '' ? status.phase : `${status.phase} ${units}`)
  if (status.filesDone > 0 || (status.filesTotal ?? 0) > 0)
    parts.push(`${countOf(status.filesDone, status.filesTotal)} files`)
  if (status.bytesDone > 0 || (status.bytesTotal ?? 0) > 0) {
    const total = status.bytesTotal === undefined ? '' : ` / ${formatSize(status.bytesTotal)}`
    parts.push(`${formatSize(status.bytesDone)}${total}`)
  }
  if (bytesPerSecond !== undefined && bytesPerSecond > 0)
    parts.push(`${formatSize(Math.round(bytesPerSecond))}/s`)
  const left = secondsLeft(measure)
  if (left !== undefined && left >= 1) parts.push(`ETA ${formatDuration(left)}`)
  if ((status.errors ?? 0) > 0) parts.push(`${status.errors} errors`)
  return parts.join(', ')
}

function countOf(done: number | undefined, total: number | undefined): string {
  if (done === undefined) return ''
  return total === undefined ? String(done) : `${done} / ${total}`
}

function formatBar(fraction: number, width: number, colour: boolean): string {
  const full = Math.round(fraction * width)
  const filled = '━'.repeat(full)
  const empty = (colour ? '━' : '─').repeat(width - full)
  return colour ? `\x1b[36m${filled}\x1b[90m${empty}\x1b[0m` : filled + empty
}
