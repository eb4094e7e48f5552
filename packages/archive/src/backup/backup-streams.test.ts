import { writeFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import type { Repository } from '../repository/repository.ts'
import {
  allNodes,
  backUp,
  cheapRepository,
  contentAt,
  contentOf,
  failedBackUp,
  nodeAt,
  noise,
} from './archive.testing.ts'
import type { BackupResult } from './backup.ts'

const MIB = 1024 * 1024
/** What a stream is gathered into before it is cut. */
const BLOCK = 16 * MIB
const source = noise(1, 40 * MIB)
const scratch = scratchDirectory('streams')

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const stream = (path: string, bytes: Uint8Array, size = 1 * MIB) => ({
  path,
  open: () => pieces(bytes, size),
})

describe('a stream', () => {
  const sizes = [
    [0, 1],
    [1, 1],
    [511, 7],
    [512 * 1024, 65536],
    [BLOCK - 1, MIB],
    [BLOCK, MIB],
    [BLOCK + 1, MIB],
    [BLOCK, BLOCK],
    [BLOCK + 1, 5 * MIB + 3],
    [2 * MIB, 97],
    [40 * MIB, 3 * MIB + 1],
    [40 * MIB, 64 * MIB],
  ] as const
  let repository: Repository
  let asStreams: BackupResult
  let asFiles: BackupResult
  beforeAll(async () => {
    repository = await cheapRepository()
    for (const [length] of sizes) writeFileSync(`${scratch}/${length}`, source.subarray(0, length))
    const streams = sizes.map(([length, size]) =>
      stream(`/dump/${length}-${size}`, source.subarray(0, length), size),
    )
    asStreams = await backUp(repository, { streams, workers: 2 })
    asFiles = await backUp(repository, { paths: [scratch], workers: 2 })
  })
  afterAll(async () => await repository[Symbol.asyncDispose]())

  it.each(sizes)(
    'of %i bytes in pieces of %i is stored whole, in the chunks a file of it has',
    async (length, size) => {
      const path = `/dump/${length}-${size}`
      const node = await nodeAt(repository, asStreams.tree, path)
      expect(node).toMatchObject({ type: 'file', mode: 0o644, size: length, links: 1 })
      expect((await contentOf(repository, node)).equals(source.subarray(0, length))).toBe(true)
      const file = await nodeAt(repository, asFiles.tree, `${scratch}/${length}`)
      expect(node.content).toEqual(file.content)
    },
  )

  it('is counted in bytes and files, and adds nothing that is stored already', () => {
    const bytes = sizes.reduce((sum, [length]) => sum + length, 0)
    expect(asStreams.summary).toMatchObject({ filesNew: sizes.length, totalBytesProcessed: bytes })
    expect(asStreams.snapshot?.paths).toEqual(sizes.map(([l, s]) => `/dump/${l}-${s}`).sort())
    expect(asFiles.summary.dataBlobs).toBe(0)
  })

  it('with empty pieces in it loses nothing', async () => {
    async function* open(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(0)
      yield Buffer.from('one ')
      yield new Uint8Array(0)
      yield Buffer.from('two')
      yield new Uint8Array(0)
    }
    const { tree } = await backUp(repository, { streams: [{ path: '/s', open }] })
    expect((await contentAt(repository, tree, '/s')).toString()).toBe('one two')
  })

  it('whose bytes the sender reuses after each piece is stored as it was sent', async () => {
    const buffer = Buffer.alloc(100_000)
    async function* open(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 50; i++) yield buffer.fill(i)
    }
    const { tree } = await backUp(repository, { streams: [{ path: '/s', open }] })
    const content = await contentAt(repository, tree, '/s')
    expect(content).toHaveLength(5_000_000)
    for (let i = 0; i < 50; i++) expect(content[i * 100_000 + 99_999]).toBe(i)
  })

  it('can go beside files and other streams, each in its place', async () => {
    const file = `${scratch}/file`
    writeFileSync(file, 'file')
    const { tree, snapshot } = await backUp(repository, {
      paths: [file],
      streams: [stream('/dumps/a', Buffer.from('a')), stream('/dumps/more/b', Buffer.from('b'))],
    })
    expect((await contentAt(repository, tree, file)).toString()).toBe('file')
    expect((await contentAt(repository, tree, '/dumps/a')).toString()).toBe('a')
    expect((await contentAt(repository, tree, '/dumps/more/b')).toString()).toBe('b')
    expect(snapshot?.paths).toEqual(['/dumps/a', '/dumps/more/b', file])
  })

  it('that goes with files leaves them a parent', async () => {
    const file = `${scratch}/parented`
    writeFileSync(file, 'file')
    const options = { paths: [file], streams: [stream('/dumps/a', Buffer.from('a'))] }
    const first = await backUp(repository, options)
    const second = await backUp(repository, options)
    expect(second.parent?.id).toBe(first.snapshot?.id)
    expect(second.summary).toMatchObject({ filesUnmodified: 1, filesNew: 1 })
  })

  it('alone has no parent: it is read whole in any case', async () => {
    await backUp(repository, { streams: [stream('/lone', Buffer.from('a'))] })
    expect(
      (await backUp(repository, { streams: [stream('/lone', Buffer.from('a'))] })).parent,
    ).toBeUndefined()
  })

  it.each([
    ['below another', ['/a', '/a/b']],
    ['above another', ['/a/b', '/a']],
    ['twice', ['/a', '/a']],
    ['without a name', ['/']],
    ['relative', ['a']],
    ['with .. in it', ['/a/../b']],
  ])('path %s is refused before anything is read', async (_, paths) => {
    let opened = 0
    const streams = paths.map((path) => ({
      path,
      open: () => {
        opened++
        return pieces(Buffer.from('x'), 1)
      },
    }))
    expect(await failedBackUp(repository, { streams })).toMatchObject({ code: 'InvalidInput' })
    expect(opened).toBe(0)
  })

  it.each([0, 1, 20 * MIB])('that throws after %i bytes makes no snapshot', async (length) => {
    async function* open(): AsyncGenerator<Uint8Array> {
      yield* pieces(source.subarray(0, length), MIB)
      throw new Error('the dump failed')
    }
    const error = await failedBackUp(repository, { streams: [{ path: '/s', open }] })
    expect(error).toMatchObject({ message: 'the dump failed' })
  })

  it('is told when the store fails, so that its sender does not wait for ever', async () => {
    const failing = await cheapRepository()
    failing.store.save = async () => await Promise.reject(new Error('no space'))
    let closed = false
    async function* open(): AsyncGenerator<Uint8Array> {
      try {
        for (let seed = 10; ; seed++) yield noise(seed, MIB)
      } finally {
        closed = true
      }
    }
    const error = await failedBackUp(failing, { streams: [{ path: '/s', open }], packBytes: MIB })
    expect(error).toMatchObject({ message: 'no space' })
    await turn()
    expect(closed).toBe(true)
  })

  it('that says nothing any more does not keep an aborted backup', async () => {
    const abort = new AbortController()
    async function* open(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('first')
      setImmediate(() => abort.abort(new Error('stop')))
      await new Promise(() => undefined)
    }
    const error = await failedBackUp(repository, { streams: [{ path: '/s', open }], signal: abort.signal })
    expect(error).toMatchObject({ message: 'stop' })
  })

  it('can be cut into chunks of one size', async () => {
    const bytes = source.subarray(0, 20 * MIB + 5)
    const reading = { fixedChunkBytes: 3 * MIB }
    const { tree } = await backUp(repository, { streams: [stream('/s', bytes)], reading })
    const node = await nodeAt(repository, tree, '/s')
    const lengths = (node.content ?? []).map((id) => repository.index.plainLength('data', id))
    expect(lengths).toEqual([...Array<number>(6).fill(3 * MIB), 2 * MIB + 5])
    expect((await contentAt(repository, tree, '/s')).equals(bytes)).toBe(true)
  })

  it.each([1, 511, 8 * MIB + 1, 32 * MIB, 1000.5, -4096, Number.NaN])(
    'is not cut into chunks of %d bytes',
    async (fixedChunkBytes) => {
      const streams = [stream('/s', source)]
      const error = await failedBackUp(repository, { streams, reading: { fixedChunkBytes } })
      expect(error).toMatchObject({ code: 'InvalidInput' })
    },
  )
})

describe('an image', () => {
  it('is stored as a file of its name with the bytes of the device, holes as zeros', async () => {
    const repository = await cheapRepository()
    const image = `${scratch}/disk.img`
    const bytes = Buffer.concat([noise(5, MIB), Buffer.alloc(12 * MIB), noise(6, MIB)])
    writeFileSync(image, bytes)
    const { tree, summary } = await backUp(repository, { images: [image] })
    expect((await contentAt(repository, tree, image)).equals(bytes)).toBe(true)
    expect(summary.totalBytesProcessed).toBe(bytes.length)
    expect([...(await allNodes(repository, tree)).values()].at(-1)).toMatchObject({ type: 'file', links: 1 })
  })

  it('that is not there makes no snapshot', async () => {
    const repository = await cheapRepository()
    const error = await failedBackUp(repository, { images: [`${scratch}/none`] })
    expect(error).toMatchObject({ code: 'SourceUnreadable' })
  })
})
