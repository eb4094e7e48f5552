import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nameFromBytes } from '../format/byte-name.ts'
import { parseGlobComponent } from './glob-component.ts'
import { compilePatterns } from './path-matcher.ts'

test.each([
  ['*.go', '/foo/bar/test.go', true],
  ['*.c', '/foo/bar/test.go', false],
  ['*', '/foo/bar/test.go', true],
  ['**', '/foo/bar/test.go', true],
  ['foo*', '/foo/bar/test.go', true],
  ['/bar*', '/foo/bar/test.go', false],
  ['bar/*', '/foo/bar/test.go', true],
  ['ba*/*.go', '/foo/bar/test.go', true],
  ['tesT.*', '/foo/bar/test.go', false],
  ['bar', '/foo/bar', true],
  ['bar', '/foo/bar/baz', true],
  ['bar', '/foo/barn', false],
  ['bar', '/foo/rebar', false],
  ['/foo/bar/', '/foo/bar', true],
  ['/foo///bar', '/foo/bar', true],
  ['/foo/../bar', '/foo/bar', false],
  ['/foo/../bar', '/bar', true],
  ['./bar', '/foo/bar', true],
  ['/foo', '/foo/baz', true],
  ['/foo/*', '/foo', false],
  ['/foo/*', '/foo/baz', true],
  ['/foo/*test.*', '/foo/bar/test.go', false],
  ['/foo/*/test.*', '/foo/bar/test.go', true],
  ['/*/*/baz/test.*', '/foo/bar/baz/test.go', true],
  ['/bin', '/usr/bin/env', false],
  ['test.go', 'bar/baz/test.go', true],
  ['bar', 'bar/baz/test.go', true],
  ['/bar', 'bar/baz/test.go', false],
  ['/', '/anything/at/all', true],
  ['/', '/', true],
  ['/*', '/', true],
  ['/**', '/', true],
  ['*', '/', true],
  ['a', '/', false],
  ['foo/**/bar', '/foo/bar/file', true],
  ['foo/**/bar', '/dir1/foo/dir2/bar/file', true],
  ['foo/**/bar', '/foo/x/y/z/bars', false],
  ['foo/**/bar/*.go', '/foo/bar/baz/bar/test.go', true],
  ['foo/**/bar/**/x', '/home/foo/a/b/bar/c/x', true],
  ['foo/**/bar/**/x', '/home/foo/a/b/c/x', false],
  ['/**/b', '/a/b', true],
  ['/**/b', '/b', true],
  ['/a/**', '/a', true],
  ['/a/**', '/ab', false],
  ['**/a', '/b/a', true],
  ['/a/**/**/b', '/a/b', false],
  ['/a/**/**/b', '/a/x/b', true],
  ['a/**/**/b', '/a/b', true],
  ['a/**/**/b', 'a/b', false],
  ['**/**/**', '/a', true],
  ['**/**/**/**', '/a', false],
  ['a**b', '/axxb', true],
  ['a**b', '/a/b', false],
  ['?', '/ab', false],
  ['??', '/ab', true],
  ['[a-c]x', '/bx', true],
  ['[^a-c]x', '/bx', false],
  ['[^a-c]x', '/dx', true],
  ['[!a]', '/!', true],
  ['[c-a]', '/b', false],
  ['[^c-a]', '/b', true],
  ['[\\]]', '/]', true],
  ['[*]', '/*', true],
  ['[*]', '/a', false],
  ['a]', '/a]', true],
  ['\\*', '/*', true],
  ['\\*', '/x', false],
  ['\\!x', '/!x', true],
  ['*.', '/a.b', false],
  ['.*', '/.hidden', true],
  ['*hidden', '/.hidden', true],
  ['(a|b)+', '/a', false],
  ['(a|b)+', '/(a|b)+', true],
  ['a.c', '/abc', false],
  ['{a,b}', '/a', false],
  ['', '/a', false],
])('the pattern %j on %j: %j', (pattern, path, expected) => {
  const matcher = compilePatterns([pattern])
  expect(matcher.matches(path)).toBe(expected)
  expect(matcher.match(path).matched).toBe(expected)
  expect(matcher.explain(path)).toBe(expected ? pattern : undefined)
})

test.each([
  ['foo/bar', '/x', true],
  ['/foo/bar', '/foo', true],
  ['/foo/bar/baz', '/foo/bar', true],
  ['/foo/bar/baz', '/foo/baz', false],
  ['/foo/bar', '/foo/bar/below', true],
  ['/foo/**/baz', '/foo/bar/else', true],
  ['/foo/**/baz', '/fo/bar', false],
  ['/foo/*/qux', '/foo/bar', true],
  ['/foo/*/qux', '/foo/bar/boo', false],
  ['/*/bar', '/foo', true],
  ['/bar/*', '/foo', false],
  ['/**/bar', '/foo', true],
  ['/bar', '/', true],
  ['/bar', 'bar', false],
])('below %j under the pattern %j may match: %j', (pattern, path, expected) => {
  expect(compilePatterns([pattern]).match(path).childMayMatch).toBe(expected)
})

test('a list matches when any pattern does; an exclamation mark takes back what was matched before it', () => {
  const verdict = (patterns: string[], path: string) => compilePatterns(patterns).match(path)
  expect(verdict([], '/a')).toEqual({ matched: false, childMayMatch: false })
  expect(verdict(['', '*.c'], '/a.go')).toEqual({ matched: false, childMayMatch: true })
  expect(verdict(['*.c', '/x/y'], '/x/y')).toEqual({ matched: true, childMayMatch: true })
  expect(verdict(['/x', '/y'], '/z')).toEqual({ matched: false, childMayMatch: false })
  const list = ['/home/*', '!/home/keep', 'node_modules', '!/home/keep/a/node_modules']
  const matcher = compilePatterns(list)
  expect(matcher.matches('/home/other')).toBe(true)
  expect(matcher.matches('/home/keep/file')).toBe(false)
  expect(matcher.matches('/home/keep/b/node_modules/x')).toBe(true)
  expect(matcher.explain('/home/keep/b/node_modules/x')).toBe('node_modules')
  expect(matcher.matches('/home/keep/a/node_modules/x')).toBe(false)
  expect(matcher.explain('/home/keep/a/node_modules/x')).toBeUndefined()
  expect(verdict(['!a', 'a'], '/a').matched).toBe(true)
  expect(verdict(['a', '!!a'], '/a').matched).toBe(true)
  expect(verdict(['/a', '!/a/b'], '/a/b')).toEqual({ matched: false, childMayMatch: false })
})

test('without regard to case, both sides are lowered, classes included', () => {
  const matches = (pattern: string, path: string) =>
    compilePatterns([pattern], { insensitive: true }).matches(path)
  expect(matches('*.JPG', '/a/Photo.jPg')).toBe(true)
  expect(matches('[A-C]X', '/bx')).toBe(true)
  expect(matches('/GRÜSSE', '/grüsse/x')).toBe(true)
  expect(matches('İ', '/i')).toBe(true)
  expect(matches('ΟΔΟΣ', '/οδοσ')).toBe(true)
  expect(matches('straße', '/STRASSE')).toBe(false)
  expect(compilePatterns(['*.JPG'], { insensitive: true }).explain('/x.jpg')).toBe('*.JPG')
})

test.each([
  '[',
  'a[',
  '[]',
  '[]a]',
  '[^]',
  '[-a]',
  '[a-]',
  '[a-',
  '[a',
  'x\\',
  '[\\',
  '[a\\]',
  'a[/]b',
  'ok/**/[',
  '![',
  '[x-\udc80]',
])('%j is no pattern', (pattern) => {
  expect(() => compilePatterns(['fine', pattern])).toThrow(
    expect.objectContaining({
      code: 'InvalidInput',
      message: expect.stringContaining(JSON.stringify(pattern)),
    }),
  )
})

test('names that are not UTF-8 match as their bytes', () => {
  const name = nameFromBytes(Buffer.from([0x61, 0xff, 0xfe]))
  expect(compilePatterns(['a??']).matches(`/${name}`)).toBe(true)
  expect(compilePatterns(['a?']).matches(`/${name}`)).toBe(false)
  expect(compilePatterns(['a*']).matches(`/${name}`)).toBe(true)
  expect(compilePatterns([name]).matches(`/x/${name}/y`)).toBe(true)
  expect(compilePatterns([`*${name.slice(1)}`]).matches(`/${name}`)).toBe(true)
  expect(compilePatterns(['a[^b][\ufffd]']).matches(`/${name}`)).toBe(true)
})

test('a star moves by bytes, as it does in Go', () => {
  expect(compilePatterns(['*??']).matches('/€')).toBe(true)
  expect(compilePatterns(['??']).matches('/€')).toBe(false)
  expect(compilePatterns(['?']).matches('/€')).toBe(true)
  expect(compilePatterns(['*[^é]']).matches('/é')).toBe(true)
  expect(compilePatterns(['[^é]']).matches('/é')).toBe(false)
})

test('patterns made to be slow are not', () => {
  const path = `/${'a'.repeat(255)}`
  expect(compilePatterns([`${'*a'.repeat(40)}*b`]).matches(path)).toBe(false)
  const deep = '/a'.repeat(2000)
  expect(compilePatterns([`/${'**/a/'.repeat(60)}b`]).matches(deep)).toBe(false)
})

test('long lists of plain names and paths are looked up, and give the same', () => {
  const many = Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? `/srv/data/dir${i}/sub` : `name${i}`))
  const paths = [
    '/',
    '/srv',
    '/srv/data',
    '/srv/data/dir4',
    '/srv/data/dir4/sub',
    '/srv/data/dir4/sub/x/y',
    '/srv/data/dir4/subs',
  ]
  const more = [
    '/srv/data/dir5/sub',
    '/name5',
    '/a/name5/b',
    'name5',
    '/a/name4',
    'srv/data/dir4/sub',
    '/x',
    '/é/name999',
  ]
  const absolute = many.filter((text) => text.startsWith('/'))
  for (const list of [
    many,
    [...many, '*.o', '!/srv/data/dir6'],
    absolute,
    [...absolute, '/x/*/y', '/**/z'],
  ]) {
    const matcher = compilePatterns(list)
    for (const at of [...paths, ...more, '/x/a', '/a.o', '/x/a/b']) {
      const single = list.map((text) => compilePatterns([text]).match(at))
      expect([at, matcher.matches(at)]).toEqual([at, single.some((verdict) => verdict.matched)])
      expect([at, matcher.match(at).childMayMatch]).toEqual([
        at,
        single.some((verdict) => verdict.childMayMatch),
      ])
    }
  }
})

const letters = ['a', 'b', 'A', '.', 'é', '€', '\udcff', '\u{1f600}']
const component = fc
  .array(fc.constantFrom(...letters), { minLength: 1, maxLength: 4 })
  .map((list) => list.join(''))
  .filter((name) => name !== '.' && name !== '..')
const path = fc.array(component, { minLength: 1, maxLength: 5 }).map((list) => `/${list.join('/')}`)
const piece = fc.constantFrom(...letters, '*', '*', '?', '[a-b]', '[^a]', '[é-€]', '\\a', '\\*')
const part = fc.oneof(
  { weight: 4, arbitrary: fc.array(piece, { minLength: 1, maxLength: 4 }).map((list) => list.join('')) },
  { weight: 1, arbitrary: fc.constant('**') },
)
const pattern = fc
  .tuple(fc.constantFrom('', '', '/', '!', '!/'), fc.array(part, { minLength: 1, maxLength: 4 }))
  .map(([start, parts]) => start + parts.join('/'))

test('one list gives what its patterns give one by one', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 6 }), path, (patterns, at) => {
      let matched = false
      let childMayMatch = false
      for (const text of patterns) {
        const negated = text.startsWith('!')
        const own = compilePatterns([negated ? text.slice(1) : text]).match(at)
        matched = negated ? matched && !own.matched : matched || own.matched
        childMayMatch = negated ? childMayMatch && !own.matched : childMayMatch || own.childMayMatch
      }
      const matcher = compilePatterns(patterns)
      expect(matcher.match(at)).toEqual({ matched, childMayMatch })
      expect(matcher.matches(at)).toBe(matched)
      expect(matcher.explain(at) !== undefined).toBe(matched)
    }),
    { numRuns: 3000 },
  )
})

test('the expressions agree with expanding every ** to stars and comparing component by component', () => {
  const ROOT = '/'
  const matchesPlainly = (parts: readonly string[], names: readonly string[]): boolean => {
    const wild = parts.indexOf('**')
    if (wild >= 0) {
      const most = names.length - parts.length + 1
      return Array.from({ length: Math.max(0, most + 1) }, (_, stars) => stars).some((stars) =>
        matchesPlainly(parts.toSpliced(wild, 1, ...Array<string>(stars).fill('*')), names),
      )
    }
    if (parts.length === 0) return false
    const starts = parts[0] === ROOT ? [0] : Array.from(names.keys()).slice(names[0] === ROOT ? 1 : 0)
    return starts.some((start) =>
      parts.every((text, i) => {
        const name = names[start + i]
        if (name === ROOT || text === ROOT) return name === text
        return name !== undefined && parseGlobComponent(text)?.matches(name) === true
      }),
    )
  }
  const split = (text: string): readonly string[] =>
    text.startsWith('/') ? [ROOT, ...text.slice(1).split('/')] : text.split('/')
  fc.assert(
    fc.property(pattern, path, (text, at) => {
      const plain = text.replace(/^!/, '')
      // Cleaning would change it; that is covered by the table.
      fc.pre(!/(^|\/)\.\.?(\/|$)/.test(plain))
      const matcher = compilePatterns([plain])
      expect(matcher.matches(at)).toBe(matchesPlainly(split(plain), split(at)))
      expect(matcher.matches(at.slice(1))).toBe(matchesPlainly(split(plain), split(at.slice(1))))
    }),
    { numRuns: 3000 },
  )
})
