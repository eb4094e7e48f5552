import { displayWidth, fitWidth } from './display-width.ts'

export interface Column<Row> {
  readonly title: string
  /** One string per line of the cell. */
  readonly cell: (row: Row) => readonly string[]
  /** Shortened when the table is wider than the terminal. */
  readonly shrinks?: boolean
  readonly right?: boolean
}

const gap = '  '
const narrowest = 8

/**
 * A table with a ruled head and foot. Where `width` is known and the rows do not fit, the shrinking
 * columns lose their middles, widest first; a pipe or a file (no width) gets every character.
 */
export function formatTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width?: number,
): readonly string[] {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)))
  const widths = columns.map((column, index) =>
    Math.max(
      displayWidth(column.title),
      ...cells.flatMap((row) => (row[index] ?? []).map((line) => displayWidth(line))),
    ),
  )
  if (width !== undefined) shrink(columns, widths, width)
  const rule = '-'.repeat(widths.reduce((sum, each) => sum + each, 0) + gap.length * (columns.length - 1))
  const head = formatLine(columns, widths, (index) => columns[index]?.title ?? '')
  const body = cells.flatMap((row) => {
    const height = Math.max(1, ...row.map((cell) => cell.length))
    return Array.from({ length: height }, (_, line) =>
      formatLine(columns, widths, (index) => row[index]?.[line] ?? ''),
    )
  })
  return [head, rule, ...body, rule]
}

function shrink<Row>(columns: readonly Column<Row>[], widths: number[], width: number): void {
  let excess = widths.reduce((sum, each) => sum + each, 0) + gap.length * (columns.length - 1) - width
  while (excess > 0) {
    let widest = -1
    for (const [index, column] of columns.entries()) {
      const shrinkable = column.shrinks === true && (widths[index] ?? 0) > narrowest
      if (shrinkable && (widest < 0 || (widths[index] ?? 0) > (widths[widest] ?? 0))) widest = index
    }
    if (widest < 0) return
    widths[widest] = (widths[widest] ?? 0) - 1
    excess--
  }
}

function formatLine<Row>(
  columns: readonly Column<Row>[],
  widths: readonly number[],
  text: (index: number) => string,
): string {
  return columns
    .map((column, index) => {
      const fitted = fitWidth(text(index), widths[index] ?? 0)
      const padding = ' '.repeat((widths[index] ?? 0) - displayWidth(fitted))
      return column.right === true ? padding + fitted : fitted + padding
    })
    .join(gap)
    .trimEnd()
}
