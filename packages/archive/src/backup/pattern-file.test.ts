import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import { readPatternFile } from './pattern-file.ts'

const directory = scratchDirectory('patterns')
let serial = 0

function read(content: string | Buffer, environment: Record<string, string> = {}): readonly string[] {
  const path = join(directory, `file${serial++}`)
  writeFileSync(path, content)
  return readPatternFile(path, environment)
}

test('comments, empty lines and white space around patterns are dropped, carriage returns too', () => {
  expect(read('# comment\n\n  *.go \r\n\t# indented comment\n\u00a0a b\u2003\n!x # no comment')).toEqual([
    '*.go',
    'a b',
    '!x # no comment',
  ])
})

test('variables are expanded as Go does', () => {
  const environment = { HOME: '/home/ann', A_1: 'x', '1': 'one', 'odd name': 'odd' }
  const cases: readonly (readonly [string, string])[] = [
    ['!$HOME/x', '!/home/ann/x'],
    ['${HOME}x$A_1-', '/home/annxx-'],
    ['$HOMEx', ''],
    ['a$$b', 'a$b'],
    ['a$', 'a$'],
    ['a$/b$.c', 'a$/b$.c'],
    ['a${}b', 'ab'],
    ['a${HOME', 'aHOME'],
    ['${odd name}', 'odd'],
    ['$12', 'one2'],
    ['a$*b${@}c', 'abc'],
    ['$constructor-', '-'],
    ['$$HOME', '$HOME'],
  ]
  for (const [line, expected] of cases) expect(read(line, environment)).toEqual([expected])
})

test('byte-order marks select the encoding; bytes that are not UTF-8 survive', () => {
  expect(read(Buffer.from('\ufeffgrün\n'))).toEqual(['grün'])
  expect(read(Buffer.from('\ufeffgrün\n', 'utf16le'))).toEqual(['grün'])
  expect(read(Buffer.from('\ufeffgrün\n', 'utf16le').swap16())).toEqual(['grün'])
  expect(read(Buffer.from([0x61, 0xff, 0x0a]))).toEqual(['a\udcff'])
})

test('malformed patterns are named with file and line, all of them', () => {
  const path = join(directory, 'bad')
  writeFileSync(path, 'fine\n[\n# [\na[/]b\n')
  expect(() => readPatternFile(path, {})).toThrow(
    expect.objectContaining({
      code: 'InvalidInput',
      place: path,
      message: `Malformed patterns in ${path}: line 2: "["; line 4: "a[/]b".`,
    }),
  )
})

test('a file that cannot be read is InvalidInput with its path', () => {
  const path = join(directory, 'absent')
  expect(() => readPatternFile(path, {})).toThrow(
    expect.objectContaining({ code: 'InvalidInput', place: path }),
  )
})
