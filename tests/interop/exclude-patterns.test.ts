import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type ExcludeOptions, openSelection } from '../../packages/archive/src/backup/exclude.ts'
import { listDirectory } from '../../packages/archive/src/backup/list-directory.ts'
import { nameToBytes } from '../../packages/archive/src/format/byte-name.ts'
import { mustRun, resticTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { findPeer } from '../peers.ts'
import { openScene, type Scene } from '../scene.ts'
import { type SeededRandom, seededRandom } from '../seeded-random.ts'

const peer = findPeer('restic-new')
const LISTS = 60

it.skipIf(peer === undefined)('restic leaves out what Holdfast does, for random lists of patterns', () => {
  using scene = openScene()
  const restic = resticTool(peer ?? { name: 'restic-new', command: '', version: '' })
  makeCheapRepository(scene.repo)
  const random = seededRandom(7)
  growTree(scene.tree, random)
  const all = walk(scene.tree, {}).length
  let kept = 0
  for (let i = 0; i < LISTS; i++) {
    const lists = drawLists(scene, random, i)
    const flags = ['--dry-run', '--json', '-vv', '--no-scan', ...lists.flags]
    const stored = mustRun(restic, scene.at, ['backup', ...flags, scene.tree])
    const ours = walk(scene.tree, lists.options)
    expect({ ...lists, items: ours }).toEqual({ ...lists, items: itemsBelow(scene.tree, stored) })
    kept += ours.length
  }
  // the lists leave neither nearly nothing nor nearly everything, where agreeing would be easy
  expect(kept / (all * LISTS)).toBeGreaterThan(0.1)
  expect(kept / (all * LISTS)).toBeLessThan(0.9)
})

const PLAIN = ['a', 'b', 'ab', 'A', 'aB.c', 'b.c', '.a', 'a~', '[a]', 'a*', 'a\\', '!a', 'a b', '-']
const OTHER = [
  'é',
  'É',
  'aé',
  '€',
  'a€b',
  'ß',
  'İ',
  'Σ',
  '\u{1f600}',
  'e\u0301',
  'a\udcff',
  '\udce2\udc82',
  '\ufffd',
]
const NAMES = [...PLAIN, ...OTHER]
const LETTERS = [
  'a',
  'a',
  'b',
  'B',
  '.c',
  '!',
  '~',
  ' ',
  'é',
  '€',
  'É',
  'σ',
  'i',
  'SS',
  '\udcff',
  '\udc82',
  '\ufffd',
]
const CLASSES = ['[a-b]', '[^a]', '[^é]', '[é-€]', '[A-Z]', '[\\]a]', '[z-a]']
const PIECES = [...LETTERS, ...CLASSES, '*', '*', '*', '?', '?', '\\a', '\\*', '\\[', '\\\\']
const TAGS = ['a', 'b.c', '.a', 'é', 'a:x', 'b:xy', 'A:zz']

function growTree(root: string, random: SeededRandom): void {
  const grow = (directory: string, depth: number): void => {
    mkdirSync(nameToBytes(directory))
    for (const name of NAMES) {
      const path = `${directory}/${name}`
      if (random.chance(0.55)) continue
      if (depth < 4 && random.chance(0.35)) grow(path, depth + 1)
      else if (random.chance(0.1)) symlinkSync('x'.repeat(1 + random.below(9)), nameToBytes(path))
      else writeFileSync(nameToBytes(path), 'xyz0123456789'.slice(random.below(3), 3 + random.below(10)))
    }
  }
  grow(root, 1)
}

interface Lists {
  readonly options: ExcludeOptions
  readonly flags: readonly string[]
}

/** The same lists as Holdfast's options and restic's flags; in files, because arguments cannot hold every byte. */
function drawLists(scene: Scene, random: SeededRandom, serial: number): Lists {
  const draw = (most: number): string[] =>
    Array.from({ length: random.below(most + 1) }, () => drawPattern(scene, random))
  const write = (name: string): string => {
    const path = `${scene.dir}/${name}${serial}`
    writeFileSync(path, nameToBytes(`# patterns\n${draw(4).join('\n')}\n`))
    return path
  }
  const excludeFiles = [write('exclude')]
  const insensitiveExcludeFiles = random.chance(0.3) ? [write('iexclude')] : []
  const excludeIfPresent = random.chance(0.2) ? [random.pick(TAGS), random.pick(TAGS)] : []
  const size = random.chance(0.2) ? { excludeLargerThan: random.below(10) } : {}
  return {
    options: { excludeFiles, insensitiveExcludeFiles, excludeIfPresent, ...size },
    flags: [
      ...excludeFiles.flatMap((path) => ['--exclude-file', path]),
      ...insensitiveExcludeFiles.flatMap((path) => ['--iexclude-file', path]),
      ...excludeIfPresent.flatMap((tag) => ['--exclude-if-present', tag]),
      ...(size.excludeLargerThan === undefined ? [] : ['--exclude-larger-than', `${size.excludeLargerThan}`]),
    ],
  }
}

function drawPattern(scene: Scene, random: SeededRandom): string {
  const part = (): string => {
    if (random.chance(0.15)) return '**'
    if (random.chance(0.3)) return random.pick(NAMES).replace(/[\\[\]*?]/g, '\\$&')
    return Array.from({ length: 1 + random.below(3) }, () => random.pick(PIECES)).join('')
  }
  const parts = Array.from({ length: 1 + random.below(3) }, part).join('/')
  const start = random.chance(0.4) ? `${scene.tree}/` : random.chance(0.1) ? '/**/' : ''
  return `${random.chance(0.2) ? '!' : ''}${start}${parts}${random.chance(0.1) ? '/' : ''}`
}

/** Paths that would be stored, directories with a trailing slash, as restic prints them. */
function walk(root: string, options: ExcludeOptions): readonly string[] {
  const selection = openSelection(options)
  const items: string[] = []
  const visit = (directory: string): void => {
    for (const { name, kind } of selection.select(directory, listDirectory(directory))) {
      const path = `${directory}/${name}`
      // restic prints no line for what is neither file nor directory
      if (kind === '?') continue
      // and its JSON has U+FFFD for each byte that is not UTF-8
      items.push(kind === 'd' ? `${path}/`.toWellFormed() : path.toWellFormed())
      if (kind === 'd') visit(path)
    }
  }
  visit(root)
  return items.sort()
}

function itemsBelow(root: string, stdout: string): readonly string[] {
  return stdout
    .split('\n')
    .filter((line) => line.includes('"verbose_status"'))
    .map((line) => (JSON.parse(line) as { readonly item: string }).item)
    .filter((item) => item.startsWith(`${root}/`) && item !== `${root}/`)
    .sort()
}
