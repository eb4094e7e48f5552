import { expect, test } from 'vitest'
import { displayWidth, fitWidth } from './display-width.ts'
import { formatTable } from './table.ts'

const columns = [
  { title: 'ID', cell: (row: { readonly id: string }) => [row.id] },
  { title: 'Paths', cell: (row: { readonly paths: readonly string[] }) => row.paths, shrinks: true },
  { title: 'Size', cell: (row: { readonly size: string }) => [row.size], right: true },
]
const rows = [
  { id: 'aaaa', paths: ['/srv/shop/data', '/etc'], size: '1 B' },
  { id: 'bbbb', paths: ['/home'], size: '10.000 KiB' },
]

test('a cell of several lines makes a row of several lines', () => {
  expect(formatTable(columns, rows)).toEqual([
    'ID    Paths                 Size',
    '--------------------------------',
    'aaaa  /srv/shop/data         1 B',
    '      /etc',
    'bbbb  /home           10.000 KiB',
    '--------------------------------',
  ])
})

test('a table too wide for the terminal shortens the columns that may shrink, in their middle', () => {
  const lines = formatTable(columns, rows, 28)
  expect(lines[2]).toBe('aaaa  /srv/…data         1 B')
  expect(Math.max(...lines.map((line) => line.length))).toBe(28)
})

test('a column never gets so narrow that it says nothing, even where the table stays too wide', () => {
  const lines = formatTable(columns, rows, 5)
  expect(lines[2]).toContain('/srv…ata')
})

test('letters that take two columns count as two', () => {
  expect(displayWidth('日本')).toBe(4)
  expect(displayWidth('é')).toBe(1)
  expect(displayWidth('👍🏽')).toBe(2)
  expect(displayWidth(fitWidth('日本語テキスト', 7))).toBeLessThanOrEqual(7)
})
