import { expect, test } from 'vitest'
import { jsonLine } from './json-line.ts'
import { escapeControls, quoteName } from './quote-name.ts'

test.each([
  ['/srv/a b', '/srv/a b'],
  ['/srv/grün', '/srv/grün'],
  ['/x\u001b[2Jy', '"/x\\x1b[2Jy"'],
  ['a\nb', '"a\\nb"'],
  ['a\u202eb', '"a\\u202eb"'],
  ['bad\udcff', '"bad\\xff"'],
])('%j is shown as %s', (name, shown) => {
  expect(quoteName(name)).toBe(shown)
})

test('inode numbers above 2^53 keep every digit in JSON, and names that are not UTF-8 do not break it', () => {
  expect(jsonLine({ inode: 18_446_744_073_709_551_615n, name: 'bad\udcff' })).toBe(
    '{"inode":18446744073709551615,"name":"bad\ufffd"}',
  )
})

test('a line of output keeps its line ends and tabs, and nothing else that moves a cursor', () => {
  expect(escapeControls('a\n\tb')).toBe('a\n\tb')
  expect(escapeControls('gone\r\u001b[2K\u009bok \u202e')).toBe('gone\\r\\x1b[2K\\u009bok \\u202e')
})

test('a line of JSON holds nothing that steers a terminal, and parses to the same value', () => {
  const value = { path: 'del\u007f c1\u0085 bidi\u202e\u2066 end' }
  const line = jsonLine(value)
  expect(escapeControls(line)).toBe(line)
  expect(JSON.parse(line)).toEqual(value)
})
