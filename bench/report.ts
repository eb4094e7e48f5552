import { readFileSync, writeFileSync } from 'node:fs'
import { type Cost, median } from './measure.ts'

/** One measured operation of one tool in one round. */
export interface Sample extends Cost {
  readonly set: string
  readonly operation: string
  readonly tool: string
  readonly round: number
  /** Bytes in the repository afterwards. */
  readonly repository: number
}

/** A Markdown table of medians; ratios above 1 mean that Holdfast is faster, leaner or smaller than `peer`. */
export function renderTable(samples: readonly Sample[], peer: string): string {
  const rows = [...new Set(samples.map((sample) => `${sample.set}\t${sample.operation}`))].map((key) => {
    const [set = '', operation = ''] = key.split('\t')
    const of = (tool: string): readonly Sample[] =>
      samples.filter((s) => s.set === set && s.operation === operation && s.tool === tool)
    return renderRow(`${set}: ${operation}`, of('holdfast'), of(peer))
  })
  return [
    `| operation | wall s, Holdfast | wall s, ${peer} | **ratio** | core-s, Holdfast | core-s, ${peer} | ratio | peak RSS MiB, Holdfast | ${peer} | repository MiB, Holdfast | ${peer} |`,
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

/** Puts `text` between `<!-- begin name -->` and `<!-- end name -->` of a file, leaving the rest as it is. */
export function replaceSection(path: string, name: string, text: string): void {
  const [begin, end] = [`<!-- begin ${name} -->`, `<!-- end ${name} -->`]
  const whole = readFileSync(path, 'utf8')
  const [from, to] = [whole.indexOf(begin), whole.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${path} has no section ${name}`)
  writeFileSync(path, `${whole.slice(0, from)}${begin}\n${text}\n${whole.slice(to)}`)
}

function renderRow(title: string, ours: readonly Sample[], theirs: readonly Sample[]): string {
  const value = (samples: readonly Sample[], of: (sample: Sample) => number): number =>
    median(samples.map(of))
  const wall = [value(ours, (s) => s.wall), value(theirs, (s) => s.wall)] as const
  const cpu = [value(ours, (s) => s.cpu), value(theirs, (s) => s.cpu)] as const
  const cells = [
    title,
    `${wall[0].toFixed(2)} ${spread(ours)}`,
    `${wall[1].toFixed(2)} ${spread(theirs)}`,
    `**${ratio(wall)}**`,
    cpu[0].toFixed(1),
    cpu[1].toFixed(1),
    ratio(cpu),
    mebibytes(value(ours, (s) => s.peakRss)),
    mebibytes(value(theirs, (s) => s.peakRss)),
    mebibytes(value(ours, (s) => s.repository)),
    mebibytes(value(theirs, (s) => s.repository)),
  ]
  return `| ${cells.join(' | ')} |`
}

function spread(samples: readonly Sample[]): string {
  const walls = samples.map((s) => s.wall)
  return walls.length < 2 ? '' : `(${Math.min(...walls).toFixed(2)}-${Math.max(...walls).toFixed(2)})`
}

function ratio([ours, theirs]: readonly [number, number]): string {
  return Number.isFinite(theirs / ours) ? `${(theirs / ours).toFixed(2)}x` : '-'
}

function mebibytes(bytes: number): string {
  return Number.isFinite(bytes) ? (bytes / (1 << 20)).toFixed(0) : '-'
}
