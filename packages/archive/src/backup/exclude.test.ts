import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import { type ExcludeOptions, openSelection } from './exclude.ts'

const directory = scratchDirectory('exclude')
const SIGNATURE = 'Signature: 8a477f597d28d172789f06886806bc55'

/** Makes files of the given contents; a name ending in `/` is a directory. */
function tree(name: string, files: Readonly<Record<string, string>>): string {
  const root = join(directory, name)
  mkdirSync(root)
  for (const [path, content] of Object.entries(files)) {
    if (path.endsWith('/')) mkdirSync(join(root, path), { recursive: true })
    else writeFileSync(join(root, path), content)
  }
  return root
}

function kept(root: string, options: ExcludeOptions): readonly string[] {
  const entries = readdirSync(root, { withFileTypes: true })
    .map((entry) => ({ name: entry.name, kind: entry.isDirectory() ? ('d' as const) : ('f' as const) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return openSelection(options)
    .select(root, entries)
    .map((entry) => entry.name)
}

test('without options everything is kept, in order', () => {
  const root = tree('all', { b: '', a: '', 'c/': '' })
  expect(kept(root, {})).toEqual(['a', 'b', 'c'])
  expect(openSelection({}).oneFileSystem).toBe(false)
  expect(openSelection({}).reason(join(root, 'a'))).toBeUndefined()
})

test('patterns of the command line and of files are one list, in that order', () => {
  const root = tree('patterns', { 'a.go': '', 'a.c': '', 'b.GO': '', keep: '' })
  const file = join(directory, 'patterns.txt')
  writeFileSync(file, '!a.$SUFFIX\n')
  expect(kept(root, { excludes: ['a.*'] })).toEqual(['b.GO', 'keep'])
  expect(kept(root, { excludes: ['a.*'], excludeFiles: [file], environment: { SUFFIX: 'c' } })).toEqual([
    'a.c',
    'b.GO',
    'keep',
  ])
  expect(kept(root, { insensitiveExcludes: ['*.gO'] })).toEqual(['a.c', 'keep'])
  expect(kept(root, { insensitiveExcludeFiles: [file], excludes: [join(root, 'keep')] })).toEqual([
    'a.c',
    'a.go',
    'b.GO',
  ])
  expect(openSelection({ excludes: ['x', '*.go'] }).reason(join(root, 'a.go'))).toBe(
    'matches the pattern "*.go"',
  )
})

test('of a directory with a tag file only the tag file is kept; two tags leave nothing', () => {
  const root = tree('tagged', { TAG: 'hello world', OTHER: '', file: '', 'sub/': '' })
  expect(kept(root, { excludeIfPresent: ['TAG'] })).toEqual(['TAG'])
  expect(kept(root, { excludeIfPresent: ['TAG:hello'] })).toEqual(['TAG'])
  expect(kept(root, { excludeIfPresent: ['TAG:'] })).toEqual(['TAG'])
  expect(kept(root, { excludeIfPresent: ['TAG', 'OTHER'] })).toEqual([])
  expect(kept(root, { excludeIfPresent: ['absent', 'TAG', 'TAG:hello'] })).toEqual(['TAG'])
  const { reason } = { reason: (path: string) => openSelection({ excludeIfPresent: ['TAG'] }).reason(path) }
  expect(reason(join(root, 'file'))).toBe('its directory holds TAG')
  expect(reason(join(root, 'TAG'))).toBeUndefined()
})

test('a tag file with another beginning is told about and excludes nothing', () => {
  const root = tree('other-tag', { TAG: 'hell', file: '', 'DIR/': '' })
  execFileSync('mkfifo', [join(root, 'FIFO')])
  const warnings: string[] = []
  const onWarning = (path: string): void => {
    warnings.push(path)
  }
  const excludeIfPresent = ['TAG:hello', 'TAG:help', 'DIR:x', 'FIFO:x']
  expect(kept(root, { excludeIfPresent, onWarning })).toEqual(['DIR', 'FIFO', 'TAG', 'file'])
  expect(warnings).toEqual(['TAG', 'TAG', 'DIR', 'FIFO'].map((name) => join(root, name)))
})

test('caches are known by the signature of the standard, not by the name of the tag alone', () => {
  const cache = tree('cache', { 'CACHEDIR.TAG': `${SIGNATURE}\n# by someone`, data: '' })
  const noCache = tree('no-cache', { 'CACHEDIR.TAG': 'Signature: 0', data: '' })
  expect(kept(cache, { excludeCaches: true })).toEqual(['CACHEDIR.TAG'])
  expect(kept(noCache, { excludeCaches: true })).toEqual(['CACHEDIR.TAG', 'data'])
})

test.each(['', ':header'])('%j is no tag specification', (specification) => {
  expect(() => openSelection({ excludeIfPresent: [specification] })).toThrow(
    expect.objectContaining({ code: 'InvalidInput' }),
  )
})

test('what is larger is left out, directories never are, and a link counts the length of its target', () => {
  const root = tree('sizes', { small: '1234567890', large: '12345678901', 'directory/': '' })
  truncateSync(join(root, 'large'), 5_000_000_000)
  symlinkSync('x'.repeat(10), join(root, 'link10'))
  symlinkSync('x'.repeat(11), join(root, 'link11'))
  expect(kept(root, { excludeLargerThan: 10 })).toEqual(['directory', 'link10', 'small'])
  expect(kept(root, { excludeLargerThan: 5_000_000_000 })).toHaveLength(5)
  expect(openSelection({ excludeLargerThan: 10 }).reason(join(root, 'large'))).toBe('is larger than 10 bytes')
})
