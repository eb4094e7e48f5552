import { expect, test } from 'vitest'
import { closestWord } from './closest-word.ts'
import { duration } from './duration.ts'
import { parseSize } from './size.ts'
import { splitWords } from './split-words.ts'

test.each([
  ['0', 0],
  ['100', 100],
  ['1k', 1024],
  ['2M', 2 ** 21],
  ['3g', 3 * 2 ** 30],
  ['1T', 2 ** 40],
  ['-1', undefined],
  ['1.5G', undefined],
  ['9999999T', undefined],
  ['', undefined],
])('the size %j is %j bytes', (given, bytes) => {
  expect(parseSize(given)).toBe(bytes)
})

test.each([
  ['0', 0],
  ['30s', 30_000],
  ['1h30m', 5_400_000],
  ['1.5h', 5_400_000],
  ['250ms', 250],
])('the time span %s is %d ms', (given, ms) => {
  expect(duration('--x')(given)).toBe(ms)
})

test.each([
  ['pass show x', ['pass', 'show', 'x']],
  [`  sh -c 'echo "a b"' `, ['sh', '-c', 'echo "a b"']],
  [`a"b c"d "" e\\ f "q\\"q"`, ['ab cd', '', 'e f', 'q"q']],
])('the command line %j has the words %j', (line, words) => {
  expect(splitWords(line, '--x')).toEqual(words)
})

test.each([`'open`, `say "open`, '', '   '])('the command line %j is refused', (line) => {
  expect(() => splitWords(line, '--x')).toThrow(/--x: found/)
})

test.each([
  ['exlude', ['exclude', 'include'], 'exclude'],
  ['rawdata', ['restore-size', 'raw-data'], 'raw-data'],
  ['xyz', ['auto', 'off', 'max'], undefined],
])('the word closest to %s in %j is %s', (word, candidates, closest) => {
  expect(closestWord(word, candidates)).toBe(closest)
})
