import { expect, test } from 'vitest'
import { archiveLayers } from './tidy/archive-layers.ts'
import { arrows } from './tidy/arrows.ts'
import { binaries } from './tidy/binaries.ts'
import { deadFiles } from './tidy/dead-files.ts'
import { documentLinks } from './tidy/document-links.ts'
import { fileNames } from './tidy/file-names.ts'
import { fileSize } from './tidy/file-size.ts'
import { formatFinding, type Rule } from './tidy/finding.ts'
import { forbiddenWords } from './tidy/forbidden-words.ts'
import { functionLengthWithDebt } from './tidy/function-length.ts'
import { importCycles } from './tidy/import-cycles.ts'
import { processAccess } from './tidy/process-access.ts'
import { projectReferences } from './tidy/project-references.ts'
import { purity } from './tidy/purity.ts'
import { syntax } from './tidy/syntax.ts'
import { undeclaredImports } from './tidy/undeclared-imports.ts'
import { makeWorkspace, type TrackedFile } from './tidy/workspace.ts'

type Planted = Readonly<Record<string, string>>

/** A small healthy workspace; a row replaces or adds files. */
const healthy: Planted = {
  'package.json': '{"name":"root","devDependencies":{"vitest":"1"},"scripts":{"go":"node tools/go.ts"}}',
  'tsconfig.json': JSON.stringify({
    references: [
      'packages/contract',
      'packages/archive',
      'packages/backup',
      'packages/restore',
      'apps/cli',
    ].map((path) => ({ path })),
  }),
  'tools/go.ts': 'export const go = 1',
  ...manifest('packages/contract', '@holdfast/contract'),
  'packages/contract/src/index.ts': 'export const word = 1',
  ...manifest('packages/archive', '@holdfast/archive', ['contract']),
  'packages/archive/src/index.ts': `import { word } from '@holdfast/contract'\nexport const pack = word`,
  ...manifest('packages/backup', '@holdfast/backup'),
  'packages/backup/src/index.ts': `export { decide } from './decide.ts'`,
  'packages/backup/src/decide.ts': 'export function decide(now: Date): number { return now.getTime() }',
  ...manifest('packages/restore', '@holdfast/restore'),
  'packages/restore/src/index.ts': 'export const restore = 1',
  ...manifest('apps/cli', 'holdfast', ['archive']),
  'apps/cli/src/index.ts': `import { pack } from '@holdfast/archive'\nprocess.exitCode = pack`,
}

const rules: readonly Rule[] = [
  archiveLayers,
  arrows,
  binaries,
  deadFiles,
  documentLinks,
  fileNames,
  fileSize,
  forbiddenWords,
  importCycles,
  processAccess,
  projectReferences,
  purity,
  syntax,
  undeclaredImports,
  (workspace) => functionLengthWithDebt(workspace, {}),
]

function manifest(directory: string, name: string, ours: readonly string[] = []): Planted {
  const dependencies = Object.fromEntries(ours.map((each) => [`@holdfast/${each}`, '1']))
  const references = ours.map((each) => ({ path: `../../packages/${each}` }))
  return {
    [`${directory}/package.json`]: JSON.stringify({
      name,
      dependencies,
      exports: { '.': './dist/index.js' },
    }),
    [`${directory}/tsconfig.json`]: JSON.stringify({ references }),
  }
}

function findingsIn(planted: Planted): readonly string[] {
  const files = Object.entries({ ...healthy, ...planted }).map(([path, text]) => tracked(path, text))
  return rules.flatMap((rule) => rule(makeWorkspace(files)).map(formatFinding))
}

function tracked(path: string, text: string): TrackedFile {
  return { path, size: text.length, text: text.includes('\0') ? undefined : text }
}

function lines(count: number): string {
  return '\n'.repeat(count - 1)
}

const slash = '/'

const cases: Readonly<Record<string, { readonly planted: Planted; readonly expected: readonly string[] }>> = {
  'a healthy workspace has no findings': { planted: {}, expected: [] },

  'the contract imports nothing of ours': {
    planted: {
      'packages/contract/src/index.ts': `import type { pack } from '@holdfast/archive'\nexport const word = 1`,
    },
    expected: [
      'packages/contract/src/index.ts:1 arrows: packages/contract must not import packages/archive',
      'packages/contract/src/index.ts:1 undeclared-imports: @holdfast/archive is not declared in packages/contract/package.json',
      'packages/contract/tsconfig.json:1 project-references: references lack packages/archive, which is imported',
      'packages/contract/package.json:1 project-references: dependencies lack @holdfast/archive, which is imported',
    ],
  },
  'a room imports no other room': {
    planted: {
      ...manifest('packages/restore', '@holdfast/restore', ['backup']),
      'packages/restore/src/index.ts': `export { decide } from '@holdfast/backup'`,
    },
    expected: ['packages/restore/src/index.ts:1 arrows: packages/restore must not import packages/backup'],
  },
  'a room may import only types of reconcile': {
    planted: {
      'tsconfig.json': healthy['tsconfig.json']?.replace(']', ',{"path":"packages/reconcile"}]') ?? '',
      ...manifest('packages/reconcile', '@holdfast/reconcile'),
      'packages/reconcile/src/index.ts': 'export type Again = 1; export const queue = 1',
      ...manifest('packages/restore', '@holdfast/restore', ['reconcile']),
      'packages/restore/src/index.ts': `import { type Again } from '@holdfast/reconcile'\nimport { queue } from '@holdfast/reconcile'\nexport const x: Again = queue`,
    },
    expected: [
      'packages/restore/src/index.ts:2 arrows: packages/restore may import only types from packages/reconcile',
    ],
  },
  'no package imports an app': {
    planted: {
      'packages/restore/src/index.ts': `export const load = () => import('holdfast')`,
      'packages/restore/package.json':
        '{"name":"@holdfast/restore","dependencies":{"holdfast":"1"},"exports":"./dist/index.js"}',
      'packages/restore/tsconfig.json': '{"references":[{"path":"../../apps/cli"}]}',
    },
    expected: [
      'packages/restore/src/index.ts:1 arrows: packages/restore must not import apps/cli: nothing imports an app',
    ],
  },
  'a package is entered through its door, not by path': {
    planted: { 'packages/restore/src/index.ts': `export { word } from '../../contract/src/index.ts'` },
    expected: [
      "packages/restore/src/index.ts:1 arrows: '../../contract/src/index.ts' leaves packages/restore; import the package by its name",
    ],
  },
  'a package without arrows is told to draw them': {
    planted: {
      'tsconfig.json': healthy['tsconfig.json']?.replace(']', ',{"path":"packages/attic"}]') ?? '',
      ...manifest('packages/attic', '@holdfast/attic', ['contract']),
      'packages/attic/src/index.ts': `export { word } from '@holdfast/contract'`,
    },
    expected: [
      'packages/attic/src/index.ts:1 arrows: packages/attic has no arrows: add it to tools/tidy/arrows.ts with a decision record',
    ],
  },
  'inside the archive, a format knows no store and no operation knows another': {
    planted: {
      'packages/archive/src/index.ts': `import './backup/run.ts'\nimport { word } from '@holdfast/contract'\nexport const pack = word`,
      'packages/archive/src/backup/run.ts': `import '../restore/run.ts'\nimport '../format/ids.ts'`,
      'packages/archive/src/restore/run.ts': '',
      'packages/archive/src/format/ids.ts': `import '../stores/memory.ts'`,
      'packages/archive/src/stores/memory.ts': '',
    },
    expected: [
      'packages/archive/src/backup/run.ts:1 archive-layers: backup/ must not import restore/',
      'packages/archive/src/format/ids.ts:1 archive-layers: format/ must not import stores/',
    ],
  },
  'a bare import is declared by the package itself, even where npm hoists it': {
    planted: { 'packages/restore/src/index.ts': `export { test } from 'vitest'` },
    expected: [
      'packages/restore/src/index.ts:1 undeclared-imports: vitest is not declared in packages/restore/package.json',
    ],
  },
  'a test may use the tools of the root': {
    planted: { 'packages/restore/src/index.test.ts': `import { test } from 'vitest'\ntest('x', () => {})` },
    expected: [],
  },
  'a reference that nothing imports is superfluous': {
    planted: { 'packages/restore/tsconfig.json': '{"references":[{"path":"../contract"}]}' },
    expected: [
      'packages/restore/tsconfig.json:1 project-references: references name packages/contract, which is not imported',
    ],
  },
  'the root project refers to every package': {
    planted: { 'tsconfig.json': healthy['tsconfig.json']?.replace('{"path":"packages/backup"},', '') ?? '' },
    expected: ['tsconfig.json:1 project-references: references lack packages/backup'],
  },
  'a cycle is told once, with its path': {
    planted: {
      'tools/go.ts': `import './a.ts'`,
      'tools/a.ts': `export { b } from './b.ts'`,
      'tools/b.ts': `import { c } from './c.ts'\nexport const b = c`,
      'tools/c.ts': `import { a } from './a.ts'\nexport const c = a`,
    },
    expected: ['tools/a.ts:1 import-cycles: tools/a.ts -> tools/b.ts -> tools/c.ts -> tools/a.ts'],
  },
  'a cycle of types only is none': {
    planted: {
      'tools/go.ts': `import type { a } from './a.ts'\nexport type G = a`,
      'tools/a.ts': `import './go.ts'\nexport type a = 1`,
    },
    expected: [],
  },
  'a file that nothing reaches is dead': {
    planted: { 'packages/restore/src/attic.ts': 'export const old = 1' },
    expected: ['packages/restore/src/attic.ts:1 dead-files: nothing reaches this file'],
  },
  'a worker named by URL, or by workerEntry, is reached': {
    planted: {
      'packages/restore/src/index.ts': `export const url = [new URL('./worker.js', import.meta.url), workerEntry(import.meta.url, 'other-worker')]`,
      'packages/restore/src/worker.ts': 'export const run = 1',
      'packages/restore/src/other-worker.ts': 'export const run = 1',
    },
    expected: [],
  },
  'a decision reads no clock, no chance, no world, and waits for nothing': {
    planted: {
      'packages/backup/src/decide.ts': [
        `import { readFileSync } from 'node:fs'`,
        'export async function decide() {',
        '  const now = new Date()',
        '  const later = new Date(now.getTime() + 1)',
        '  await Promise.resolve(Math.random())',
        '  return [now, later, Date.now(), readFileSync, performance]',
        '}',
      ].join('\n'),
    },
    expected: [
      'packages/backup/src/decide.ts:1 purity: a pure file must not import node:fs',
      'packages/backup/src/decide.ts:2 purity: a pure file must not use async function; take its value as an argument',
      'packages/backup/src/decide.ts:3 purity: a pure file must not use new Date(); take its value as an argument',
      'packages/backup/src/decide.ts:5 purity: a pure file must not use await; take its value as an argument',
      'packages/backup/src/decide.ts:5 purity: a pure file must not use Math.random; take its value as an argument',
      'packages/backup/src/decide.ts:6 purity: a pure file must not use Date.now; take its value as an argument',
      'packages/backup/src/decide.ts:6 purity: a pure file must not use performance; take its value as an argument',
    ],
  },
  'a library does not read the environment or end the process': {
    planted: {
      'packages/restore/src/index.ts': `import { exit } from 'node:process'\nexport const home = process.env['HOME']\nprocess.exit(exit.length)\nexport const pid = process.pid`,
    },
    expected: [
      'packages/restore/src/index.ts:1 process-access: process.exit belongs to an app; take the value as an argument',
      'packages/restore/src/index.ts:2 process-access: process.env belongs to an app; take the value as an argument',
      'packages/restore/src/index.ts:3 process-access: process.exit belongs to an app; take the value as an argument',
    ],
  },
  'a function of 71 lines is too long, one of 70 is not': {
    planted: {
      'tools/go.ts': `export function long() {${lines(71)}}\nexport const fine = () => {${lines(70)}}`,
    },
    expected: ['tools/go.ts:1 function-length: long has 71 lines: at most 70'],
  },
  'a chapter of tests may be long, a test may not': {
    planted: {
      'tools/go.test.ts': `describe.skipIf(true)('x', () => {\nit('y', () => {${lines(71)}})\n})`,
    },
    expected: ['tools/go.test.ts:2 function-length: anonymous@2 has 71 lines: at most 70'],
  },
  'source files have 500 lines at most': {
    planted: { 'tools/go.ts': '//\n'.repeat(501) },
    expected: ['tools/go.ts:1 file-size: has 501 lines, more than 500: find the second concept in it'],
  },
  'drawers and camel case are no names': {
    planted: {
      'tools/go.ts': `import './utils.ts'\nimport './helpers/a.ts'\nimport './fooBar.ts'`,
      'tools/utils.ts': '',
      'tools/helpers/a.ts': '',
      'tools/fooBar.ts': '',
    },
    expected: [
      "tools/utils.ts:1 file-names: 'utils' says nothing: name the concept",
      "tools/helpers/a.ts:1 file-names: 'helpers' says nothing: name the concept",
      'tools/fooBar.ts:1 file-names: file names are kebab-case',
    ],
  },
  'no binaries but golden ones': {
    planted: { 'docs/logo': 'a\0b', 'tests/golden/repo/config': 'a\0b' },
    expected: ['docs/logo:1 binaries: is not text'],
  },
  'no paths of the machine it was written on': {
    planted: {
      'docs/a.md': `ok\nsee ${slash}work${slash}main/x`,
      'docs/b.md': `see ..${slash}shared/x, teamwork${slash}x and ./work${slash}y`,
    },
    expected: [
      'docs/a.md:2 forbidden-words: names a path of the machine it was written on',
      'docs/b.md:1 forbidden-words: names a folder outside the repository',
    ],
  },
  'links between documents lead somewhere': {
    planted: {
      'docs/a.md': '[b](../package.json) [c](c.md#x) [d](https://example.org) [e](#here) [f](../tools/)',
    },
    expected: ['docs/a.md:1 document-links: c.md does not exist'],
  },
  'a file that does not parse is a finding': {
    planted: { 'tools/go.ts': 'export const = 1' },
    expected: ['tools/go.ts:1 syntax: Unexpected token'],
  },
}

test.each(Object.entries(cases))('%s', (_claim, { planted, expected }) => {
  expect(findingsIn(planted).toSorted()).toEqual(expected.toSorted())
})

test('the list of long functions may only shrink', () => {
  const text = `export function long() {${lines(80)}}\nexport function short() {}`
  const files = Object.entries({ ...healthy, 'tools/go.ts': text }).map(([path, body]) => tracked(path, body))
  const workspace = makeWorkspace(files)
  const messages = (debt: Readonly<Record<string, number>>) =>
    functionLengthWithDebt(workspace, debt).map(({ message }) => message)

  expect(messages({ 'tools/go.ts#long': 80 })).toEqual([])
  expect(messages({ 'tools/go.ts#long': 79 })).toEqual(['long has 80 lines: at most 79'])
  expect(messages({ 'tools/go.ts#long': 90 })).toEqual(['long has 80 lines: lower its entry from 90 to 80'])
  expect(messages({ 'tools/go.ts#long': 80, 'tools/go.ts#short': 99 })).toEqual([
    'tools/go.ts#short is short now: remove it from the list',
  ])
})
