/** Data to back up, the same bytes for the same sizes on every machine. */
import { createCipheriv } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { type SeededRandom, seededRandom } from '../tests/seeded-random.ts'

const MiB = 1 << 20

/** Four files of `size` / 4 bytes: twice incompressible, log lines (about 3 to 1), database pages (about 2.5 to 1). */
export function makeLarge(dir: string, size: number): void {
  once(dir, `large ${size}`, () => {
    const each = Math.ceil(size / 4 / MiB)
    writeBlocks(`${dir}/random-1.bin`, each, randomSource(1))
    writeBlocks(`${dir}/random-2.bin`, each, randomSource(2))
    writeBlocks(`${dir}/app.log`, each, logSource(seededRandom(3)))
    writeBlocks(`${dir}/pages.db`, each, pageSource(seededRandom(4)))
  })
}

/** `count` text files of 1 to 32 KiB, as many small as large ones on a logarithmic scale, 100 to a folder. */
export function makeSmall(dir: string, count: number): void {
  once(dir, `small ${count}`, () => {
    const random = seededRandom(5)
    const next = logSource(random)
    let block = next()
    let at = 0
    for (let i = 0; i < count; i++) {
      const size = Math.floor(1024 * 2 ** ((random.word() / 2 ** 32) * 5))
      if (at + size > block.length) [block, at] = [next(), 0]
      const folder = `${dir}/${Math.floor(i / 100)}`
      if (i % 100 === 0) mkdirSync(folder)
      writeFileSync(`${folder}/${i}.txt`, block.subarray(at, at + size))
      at += size
    }
  })
}

/** `count` files of 100 bytes, all different, 1000 to a folder. */
export function makeTiny(dir: string, count: number): void {
  once(dir, `tiny ${count}`, () => {
    const next = randomSource(6)
    let block = next()
    for (let i = 0; i < count; i++) {
      const at = (i * 100) % (MiB - 100)
      if (at < 100) block = next()
      const folder = `${dir}/${Math.floor(i / 1000)}`
      if (i % 1000 === 0) mkdirSync(folder)
      writeFileSync(`${folder}/${i}`, block.subarray(at, at + 100))
    }
  })
}

/** Overwrites `share` of the `blockSize` blocks of every file in place; the returned function puts them back. */
export function changeBlocks(dir: string, blockSize: number, share: number): () => void {
  const random = seededRandom(blockSize)
  const saved: { readonly path: string; readonly at: number; readonly bytes: Buffer }[] = []
  for (const name of readdirSync(dir)
    .filter((name) => !name.startsWith('.'))
    .sort()) {
    const path = `${dir}/${name}`
    const fd = openSync(path, 'r+')
    const blocks = Math.floor(fstatSync(fd).size / blockSize)
    for (let block = 0; block < blocks; block++) {
      if (!random.chance(share)) continue
      const bytes = Buffer.alloc(blockSize)
      const at = block * blockSize
      readSync(fd, bytes, 0, blockSize, at)
      saved.push({ path, at, bytes })
      writeSync(fd, random.bytes(blockSize), 0, blockSize, at)
    }
    closeSync(fd)
  }
  return () => {
    for (const { path, at, bytes } of saved) {
      const fd = openSync(path, 'r+')
      writeSync(fd, bytes, 0, bytes.length, at)
      closeSync(fd)
    }
  }
}

/** Rewrites the first of every hundred files of a `makeSmall` folder; the returned function puts them back. */
export function changeFiles(dir: string): () => void {
  const random = seededRandom(8)
  const saved = readdirSync(dir)
    .filter((name) => !name.startsWith('.'))
    .map((folder) => {
      const path = `${dir}/${folder}/${Number(folder) * 100}.txt`
      const fd = openSync(path, 'r+')
      const bytes = Buffer.alloc(fstatSync(fd).size)
      readSync(fd, bytes, 0, bytes.length, 0)
      writeSync(fd, random.bytes(Math.min(64, bytes.length)), 0)
      closeSync(fd)
      return { path, bytes }
    })
  return () => {
    for (const { path, bytes } of saved) writeFileSync(path, bytes)
  }
}

/** Makes `dir` anew unless it already holds what `label` says; the label lies beside it. */
function once(dir: string, label: string, fill: () => void): void {
  const marker = `${dir}.${label.replaceAll(' ', '-')}.made`
  if (existsSync(dir) && existsSync(marker)) return
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
  fill()
  writeFileSync(marker, '')
}

function writeBlocks(path: string, mebibytes: number, next: () => Buffer): void {
  const fd = openSync(path, 'w')
  for (let i = 0; i < mebibytes; i++) writeSync(fd, next())
  closeSync(fd)
}

/** AES in counter mode over zeros: incompressible, fast, and the same everywhere. */
function randomSource(seed: number): () => Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  const zeros = Buffer.alloc(MiB)
  return () => cipher.update(zeros)
}

const verbs = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE']
const places = [
  '/api/v1/orders',
  '/api/v1/customers',
  '/login',
  '/static/app.js',
  '/search',
  '/api/v2/invoices/open',
]
const statuses = ['200', '200', '200', '201', '204', '301', '304', '404', '500']

function logSource(random: SeededRandom): () => Buffer {
  let clock = 1_700_000_000_000
  const line = (): string => {
    clock += random.below(40)
    const address = `10.${random.below(4)}.${random.below(256)}.${random.below(256)}`
    const id = random.word().toString(16).padStart(8, '0') + random.word().toString(16).padStart(8, '0')
    const place = `${random.pick(places)}/${random.below(100_000)}`
    return `${new Date(clock).toISOString()} ${address} "${random.pick(verbs)} ${place}" ${random.pick(statuses)} ${random.below(50_000)} ${random.below(3000)}ms request=${id}\n`
  }
  return () => fillBlock(line)
}

/** Heap pages: a header that differs, rows of numbers and text, free space at the end. */
function pageSource(random: SeededRandom): () => Buffer {
  let row = 0
  const page = (): Buffer => {
    const bytes = Buffer.alloc(8192)
    bytes.writeUInt32LE(random.word(), 0)
    let at = 24
    while (at < 7600) {
      bytes.writeUInt32LE(++row, at)
      bytes.writeUInt32LE(random.below(100_000), at + 4)
      bytes.write(
        `customer ${random.below(1_000_000)} ${random.pick(places)} ${random.pick(statuses)}`,
        at + 12,
        'latin1',
      )
      random.bytes(24).copy(bytes, at + 68)
      at += 96
    }
    return bytes
  }
  return () => Buffer.concat(Array.from({ length: 128 }, page))
}

function fillBlock(line: () => string): Buffer {
  const parts: string[] = []
  for (let size = 0; size < MiB; ) {
    const text = line()
    parts.push(text)
    size += text.length
  }
  return Buffer.from(parts.join(''), 'latin1').subarray(0, MiB)
}
