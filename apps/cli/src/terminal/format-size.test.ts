import { expect, test } from 'vitest'
import { formatSize } from './format-size.ts'
import { formatDuration } from './format-time.ts'

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.000 KiB'],
  [300_015, '292.983 KiB'],
  [5 * 2 ** 20, '5.000 MiB'],
  [3 * 2 ** 40, '3.000 TiB'],
  [2000 * 2 ** 40, '2000.000 TiB'],
])('%d bytes are %s, as restic says it', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text)
})

test.each([
  [0, '0:00'],
  [59.9, '0:59'],
  [61, '1:01'],
  [3661, '1:01:01'],
])('%d seconds are %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
})
