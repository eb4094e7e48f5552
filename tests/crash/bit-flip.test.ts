import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { holdfastTool, mustRun, runTool } from '../archive-tool.ts'
import { makeCheapRepository } from '../cheap-repository.ts'
import { writeHistory } from '../history.ts'
import { openScene, type Scene } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'

const holdfast = holdfastTool()
const flipsPerKind = Number(process.env['HOLDFAST_FLIPS'] ?? 3)

/** Where in a file the bit is flipped; packs have regions with different readers. */
interface FlipKind {
  readonly title: string
  readonly folder: string
  /** A position in bytes for a file of `size` bytes. */
  readonly position: (size: number, below: (bound: number) => number) => number
}

const anywhere: FlipKind['position'] = (size, below) => below(size)
const kinds: readonly FlipKind[] = [
  { title: 'a snapshot', folder: 'snapshots', position: anywhere },
  { title: 'an index', folder: 'index', position: anywhere },
  { title: 'a pack', folder: 'data', position: anywhere },
  { title: 'the first blob of a pack', folder: 'data', position: (_, below) => below(48) },
  { title: 'the header of a pack', folder: 'data', position: (size, below) => size - 5 - below(40) },
  { title: 'the header length of a pack', folder: 'data', position: (size, below) => size - 1 - below(4) },
  { title: 'a key that is not in use', folder: 'keys', position: anywhere },
]

describe('one flipped bit', () => {
  const stage: { scene: Scene; spareKey: string } = { scene: undefined as unknown as Scene, spareKey: '' }
  beforeAll(() => {
    stage.scene = openScene()
    const { addKey } = makeCheapRepository(stage.scene.repo)
    stage.spareKey = addKey('a spare password')
    writeHistory(holdfast, stage.scene, 3, { files: 20 })
    mustRun(holdfast, stage.scene.at, ['check', '--read-data'])
  })
  afterAll(() => stage.scene[Symbol.dispose]())

  it.each(kinds)('in $title is named by check --read-data', (kind) => {
    const random = seededRandom(kind.title.length)
    for (let i = 0; i < flipsPerKind; i++) {
      const file = pickFile(stage.scene, kind, random.pick, stage.spareKey)
      const { repo, position } = flippedCopy(stage.scene, file, kind, random.below)
      const check = runTool(holdfast, { ...stage.scene.at, repo }, ['check', '--read-data'])
      const label = `${kind.title} ${file}, byte ${position}\n${check.stdout}${check.stderr}`
      expect(check.status, label).not.toBe(0)
      expect(check.status, label).not.toBe(null)
      expect(`${check.stdout}${check.stderr}`, label).toContain(nameIn(file).slice(0, 8))
      rmSync(repo, { recursive: true })
    }
  })

  it('in the config is named', () => {
    const { repo } = flippedCopy(
      stage.scene,
      'config',
      { title: '', folder: '', position: anywhere },
      seededRandom(1).below,
    )
    const check = runTool(holdfast, { ...stage.scene.at, repo }, ['check', '--read-data'])
    expect(check.status).not.toBe(0)
    expect(check.stderr + check.stdout).toMatch(/config/)
    rmSync(repo, { recursive: true })
  })

  it('in the only key is named', () => {
    const repo = stage.scene.fresh('flipped')
    makeCheapRepository(repo)
    const [key = ''] = readdirSync(`${repo}/keys`)
    flip(`${repo}/keys/${key}`, 1)
    const check = runTool(holdfast, { ...stage.scene.at, repo }, ['check', '--read-data'])
    expect(check.status).not.toBe(0)
    expect(check.stderr + check.stdout).toContain(key.slice(0, 8))
  })
})

function pickFile(
  scene: Scene,
  kind: FlipKind,
  pick: <T>(items: readonly T[]) => T,
  spareKey: string,
): string {
  if (kind.folder === 'keys') return `keys/${spareKey}`
  const files = readdirSync(`${scene.repo}/${kind.folder}`, { recursive: true, encoding: 'utf8' })
    .filter((name) => /[0-9a-f]{64}$/.test(name))
    .sort()
  return `${kind.folder}/${pick(files)}`
}

function flippedCopy(
  scene: Scene,
  file: string,
  kind: FlipKind,
  below: (bound: number) => number,
): { readonly repo: string; readonly position: number } {
  const repo = scene.fresh('flipped')
  cpSync(scene.repo, repo, { recursive: true })
  const position = kind.position(readFileSync(`${repo}/${file}`).length, below)
  flip(`${repo}/${file}`, position)
  return { repo, position }
}

function flip(path: string, position: number): void {
  const bytes = readFileSync(path)
  bytes[position] = (bytes[position] ?? 0) ^ 0x10
  rmSync(path, { force: true })
  writeFileSync(path, bytes)
}

function nameIn(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1)
}
