/**
 * Where a first backup of the large set spends its core-seconds, and how fast each stage's own work is alone on the
 * same bytes, one thread, data in the processor's cache.
 *
 *   node bench/stage-profile.ts [--size 4096] [--data DIR] [--ram DIR] [--write]
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { backup } from '../packages/archive/src/backup/backup.ts'
import { openPrimitives } from '../packages/archive/src/engine/primitives.ts'
import { KERNEL_HEAP, openKernel } from '../packages/archive/src/kernel/kernel.ts'
import { openRepository } from '../packages/archive/src/repository/repository.ts'
import { openFilesystemStore } from '../packages/archive/src/stores/filesystem.ts'
import { testPassword } from '../tests/archive-tool.ts'
import { knownPolynomial, makeCheapRepository } from '../tests/cheap-repository.ts'
import { makeLarge } from './data-sets.ts'
import { replaceSection } from './report.ts'

const MiB = 1 << 20

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: '4096' },
    data: { type: 'string', default: `${tmpdir()}/holdfast-bench-data` },
    ram: { type: 'string', default: '/dev/shm' },
    write: { type: 'boolean', default: false },
  },
})

const dir = `${flags.data}/large`
mkdirSync(flags.data, { recursive: true })
makeLarge(dir, Number(flags.size) * MiB)
const table = render(await profileBackup(), measureLimits(sampleBlocks()))
console.log(table)
if (flags.write)
  replaceSection(fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url)), 'stages', table)

interface Profile {
  readonly bytes: number
  readonly packed: number
  readonly wallMs: number
  readonly stages: Readonly<Record<string, number>>
}

async function profileBackup(): Promise<Profile> {
  const ram = mkdtempSync(`${flags.ram}/holdfast-stages-`)
  try {
    makeCheapRepository(`${ram}/repo`)
    await using repository = await openRepository(openFilesystemStore(`${ram}/repo`), {
      password: testPassword,
    })
    await repository.loadIndex()
    const { summary, stages, durationMs, packedBytes } = await backup(repository, { paths: [dir] })
    return { bytes: summary.totalBytesProcessed, packed: packedBytes, wallMs: durationMs, stages }
  } finally {
    rmSync(ram, { recursive: true, force: true })
  }
}

/** 16 blocks of 1 MiB from each file, evenly spread. */
function sampleBlocks(): readonly Buffer[] {
  return readdirSync(dir).flatMap((name) => {
    const fd = openSync(`${dir}/${name}`, 'r')
    const step = Math.floor(fstatSync(fd).size / 16)
    const blocks = Array.from({ length: 16 }, (_, i) => {
      const block = Buffer.alloc(MiB)
      readSync(fd, block, 0, MiB, i * step)
      return block
    })
    closeSync(fd)
    return blocks
  })
}

/** Milliseconds per byte of input, of each stage's work alone. */
function measureLimits(blocks: readonly Buffer[]): Readonly<Record<string, number>> {
  const primitives = openPrimitives()
  const kernel = openKernel(8 * MiB + 65536, knownPolynomial)
  const [packed, plain, digest] = [Buffer.alloc(2 * MiB), Buffer.alloc(MiB), Buffer.alloc(32)]
  const [key, iv] = [Buffer.alloc(32, 7), Buffer.alloc(16, 9)]
  const sealed = blocks.map((block) => {
    const length = primitives.compress(block, packed)
    return Buffer.from(length === 0 ? block : packed.subarray(0, length))
  })
  const timed = (work: (block: Buffer, i: number) => void): number => perByte(blocks, work)
  const of = (i: number): Buffer => sealed[i] ?? Buffer.alloc(0)
  const hash = timed((block) => primitives.sha256(block, digest))
  const compress = timed((block) => primitives.compress(block, packed))
  const decompress = timed((_, i) => of(i).length < MiB && primitives.decompress(of(i), plain))
  const cipher = timed((_, i) => primitives.aesCtr(key, iv, of(i), packed.subarray(0, of(i).length)))
  const mac = timed((_, i) => primitives.poly1305(key, of(i), digest))
  const target = `${flags.ram}/holdfast-stages-write`
  const pack = Buffer.concat(sealed).subarray(0, 16 * MiB)
  const stored = sealed.reduce((sum, block) => sum + block.length, 0) / (blocks.length * MiB)
  const write = stored * writePacks(target, pack)
  const area = kernel.memory.subarray(KERNEL_HEAP + 65536)
  blocks.slice(0, 8).forEach((source, i) => source.copy(area, i * MiB))
  return {
    read: readCached(plain),
    chunk: perByte([area], () => {
      for (let at = 0, cut = 1; cut > 0; at += cut) {
        cut = kernel.nextCut(KERNEL_HEAP + 65536 + at, KERNEL_HEAP + 65536 + area.length, 0)
      }
    }),
    hash,
    // sealed once, then opened again to verify
    seal: compress + decompress + 2 * cipher + 2 * mac + hash,
    write: write + timed((_, i) => primitives.sha256(of(i), digest)),
  }
}

/** Fresh files, as packs are; milliseconds per byte. */
function writePacks(target: string, pack: Buffer): number {
  const count = 24
  const began = performance.now()
  for (let i = 0; i < count; i++) writeFileSync(`${target}-${i}`, pack)
  const took = performance.now() - began
  for (let i = 0; i < count; i++) rmSync(`${target}-${i}`)
  return took / count / pack.length
}

/** The first 128 MiB of a file that is in the page cache; milliseconds per byte. */
function readCached(into: Buffer): number {
  const fd = openSync(`${dir}/random-1.bin`, 'r')
  const pass = (): number => {
    const began = performance.now()
    let bytes = 0
    for (let at = 0; at < 128 * MiB; at += into.length) bytes += readSync(fd, into, 0, into.length, at)
    return (performance.now() - began) / bytes
  }
  pass()
  const took = pass()
  closeSync(fd)
  return took
}

function perByte(blocks: readonly Buffer[], work: (block: Buffer, i: number) => void): number {
  const pass = (): void => blocks.forEach((block, i) => work(block, i))
  pass()
  const began = performance.now()
  let passes = 0
  do {
    pass()
    passes++
  } while (performance.now() - began < 400)
  return (performance.now() - began) / passes / blocks.reduce((sum, block) => sum + block.length, 0)
}

function render(profile: Profile, limits: Readonly<Record<string, number>>): string {
  const { bytes, stages } = profile
  const total = Object.values(stages).reduce((sum, ms) => sum + ms, 0)
  const rows = Object.entries(stages)
    .sort(([, a], [, b]) => b - a)
    .map(([stage, ms]) => {
      const limit = limits[stage]
      const alone =
        limit === undefined ? ['-', '-'] : [rate(1 / limit), `${((limit * bytes * 100) / ms).toFixed(0)} %`]
      return `| ${stage} | ${(ms / 1000).toFixed(2)} | ${((ms * 100) / total).toFixed(0)} % | ${rate(bytes / ms)} | ${alone.join(' | ')} |`
    })
  return [
    `${(bytes / 1e9).toFixed(2)} GB in ${(profile.wallMs / 1000).toFixed(2)} s, ${(profile.packed / 1e9).toFixed(2)} GB stored; ${(total / 1000).toFixed(1)} s of thread time:`,
    '',
    '| stage | s, all threads | share | MB/s per thread | alone, MB/s | of its limit |',
    '|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

/** Bytes per millisecond as MB/s. */
function rate(bytesPerMs: number): string {
  return (bytesPerMs / 1000).toFixed(0)
}
