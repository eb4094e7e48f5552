import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { HoldfastError } from '@holdfast/contract'
import { describe, expect, it } from 'vitest'
import { testPassword } from '../../../../tests/archive-tool.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import { openRepository, type Repository } from '../repository/repository.ts'
import type { BlobStore, FileName } from '../stores/blob-store.ts'
import { faultyStore, laggingStore } from '../stores/doubles.testing.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { wrapStore } from '../stores/wrap/wrap-store.ts'
import {
  allNodes,
  backUp,
  cheapRepository,
  contentOf,
  diskRepository,
  failedBackUp,
  makeFiles,
  nodeAt,
  noise,
  stockRestic,
} from './archive.testing.ts'
import { backup } from './backup.ts'
import type { Selection } from './exclude.ts'

const MIB = 1024 * 1024
const scratch = scratchDirectory('faults')
let directories = 0
const newDirectory = (): string => {
  const path = join(scratch, `${++directories}`)
  mkdirSync(path)
  return path
}

/** Lets every listing of `directory` tell of entries that are not there: they vanished in between. */
function phantom(directory: string, ...entries: readonly { name: string; kind: 'd' | 'f' | '?' }[]) {
  const select = ((shown: string, found: readonly unknown[]) =>
    shown === directory ? [...found, ...entries] : found) as Selection['select']
  return { oneFileSystem: false, select }
}

/** A store that does something when the first pack arrives, while the rest is still being read. */
function onFirstPack(act: () => void): BlobStore {
  const inner = openMemoryStore()
  let acted = false
  return wrapStore(inner, {
    save: async (file, body) => {
      if (file.type === 'pack' && !acted) {
        acted = true
        act()
      }
      await inner.save(file, body)
    },
  })
}

/** Runs as another user, whom permissions stop. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return await work()
  process.seteuid?.(65534)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
  }
}

describe('entries that cannot be read', () => {
  it('are named and counted when they vanish, and the rest is stored', async () => {
    const dir = newDirectory()
    makeFiles(dir, { kept: 'kept' })
    const repository = await cheapRepository()
    const gone = ['file', 'other', 'sub'].map((name) => join(dir, name))
    const { failures, errorCount, snapshot, tree, summary } = await backUp(repository, {
      paths: [dir],
      selection: phantom(
        dir,
        { name: 'file', kind: 'f' },
        { name: 'other', kind: '?' },
        { name: 'sub', kind: 'd' },
      ),
    })
    expect(failures.map((f) => f.path).sort()).toEqual(gone)
    for (const failure of failures) expect(failure).toMatchObject({ fatal: true, message: /ENOENT/ })
    expect(errorCount).toBe(3)
    expect(snapshot).toBeDefined()
    expect(summary).toMatchObject({ filesNew: 1 })
    const nodes = await allNodes(repository, tree)
    expect([...nodes.keys()].at(-1)).toBe(join(dir, 'kept'))
  })

  it('are left out when permissions forbid them: files, large files, directories', async () => {
    const dir = newDirectory()
    makeFiles(dir, { kept: 'kept', small: 'x', large: noise(1, 5 * MIB), 'sub/inner': 'x' })
    chmodSync(scratch, 0o755)
    for (const name of ['small', 'large', 'sub']) chmodSync(join(dir, name), 0)
    const repository = await cheapRepository()
    const result = await asNobody(async () => await backUp(repository, { paths: [dir] }))
    expect(result.failures.map((f) => f.path).sort()).toEqual(
      ['large', 'small', 'sub'].map((n) => join(dir, n)),
    )
    expect(result.errorCount).toBe(3)
    expect(
      [...(await allNodes(repository, result.tree)).keys()].filter((p) => p.startsWith(`${dir}/`)),
    ).toEqual([join(dir, 'kept')])
    for (const name of ['small', 'large', 'sub']) chmodSync(join(dir, name), 0o755)
  })

  it('make no snapshot when nothing else is there', async () => {
    const repository = await cheapRepository()
    const paths = [join(scratch, 'never'), join(scratch, 'nor this')]
    const error = await failedBackUp(repository, { paths })
    expect(error).toMatchObject({ code: 'SourceUnreadable' })
    const result = await backUp(repository, { paths: [...paths, newDirectory()] })
    expect(result.failures.map((f) => f.path).sort()).toEqual(paths)
    expect(result.snapshot?.paths).toHaveLength(3)
  })
})

describe('a large file that changes while it is read', () => {
  const run = async (change: (path: string) => void, size = 40 * MIB) => {
    const path = join(newDirectory(), 'large')
    writeFileSync(path, noise(7, size))
    const repository = await cheapRepository(onFirstPack(() => change(path)))
    const result = await backUp(repository, { paths: [path], packBytes: MIB, workers: 1 })
    return { result, repository, path }
  }

  it.each([
    ['is truncated', (path: string) => truncateSync(path, 9 * MIB)],
    ['grows', (path: string) => appendFileSync(path, noise(8, 20 * MIB))],
    ['is written to', (path: string) => writeFileSync(path, noise(9, 40 * MIB), { flag: 'r+' })],
    [
      'is replaced by another',
      (path: string) => {
        writeFileSync(`${path}.new`, noise(10, 40 * MIB))
        renameSync(`${path}.new`, path)
      },
    ],
  ])('when it %s, is stored with a note and as long as its content', async (_, change) => {
    const { result, repository, path } = await run(change)
    expect(result.notes).toEqual([
      { path, fatal: false, message: 'changed while it was read; what was read is stored' },
    ])
    expect(result.errorCount).toBe(0)
    const node = await nodeAt(repository, result.tree, path)
    const content = await contentOf(repository, node)
    expect(content).toHaveLength(node.size)
    expect(content.subarray(0, 8 * MIB).equals(noise(7, 8 * MIB))).toBe(true)
    expect(result.summary).toMatchObject({ filesNew: 1, totalBytesProcessed: node.size })
  })

  it('and vanishes is left out and counted, which does not end the backup', async () => {
    const dir = newDirectory()
    makeFiles(dir, { kept: 'kept', large: noise(7, 40 * MIB) })
    const repository = await cheapRepository(onFirstPack(() => rmSync(join(dir, 'large'))))
    const result = await backUp(repository, { paths: [dir], packBytes: MIB, workers: 1 })
    expect(result.failures).toMatchObject([{ path: join(dir, 'large'), message: /ENOENT/ }])
    expect(result.errorCount).toBe(1)
    const names = [...(await allNodes(repository, result.tree)).keys()].filter((p) => p.startsWith(`${dir}/`))
    expect(names).toEqual([join(dir, 'kept')])
  })

  it('does not lead to the target of a symbolic link in its place', async () => {
    const path = join(newDirectory(), 'large')
    writeFileSync(path, noise(7, 40 * MIB))
    const secret = join(newDirectory(), 'secret')
    writeFileSync(secret, noise(11, 60 * MIB))
    const repository = await cheapRepository(
      onFirstPack(() => {
        rmSync(path)
        symlinkSync(secret, path)
      }),
    )
    const dir = join(path, '..')
    const result = await backUp(repository, { paths: [dir], packBytes: MIB, workers: 1 })
    expect(result.failures).toMatchObject([{ path, message: /ELOOP/ }])
  })
})

describe('a store that fails', () => {
  it('ends the backup without a snapshot, with its own error, and leaves a sound repository', async () => {
    const dir = newDirectory()
    for (let i = 0; i < 40; i++) makeFiles(dir, { [`${i}`]: noise(20 + i, 200_000) })
    const repoDir = join(newDirectory(), 'repo')
    const repository = await diskRepository(repoDir)
    let packs = 0
    const failing = {
      ...repository,
      store: wrapStore(repository.store, {
        save: async (file: FileName, body: Uint8Array) => {
          if (file.type === 'pack' && ++packs > 3) {
            throw new HoldfastError('StoreUnavailable', 'the line went dead', { retry: 'later' })
          }
          await repository.store.save(file, body)
        },
      }),
    }
    const error = await failedBackUp(failing, { paths: [dir], packBytes: MIB })
    expect(error).toMatchObject({ code: 'StoreUnavailable', message: 'the line went dead', retry: 'later' })
    stockRestic(repoDir, 'check', '--read-data')
    await repository.loadIndex()
    const kept = repository.index.size
    // what was stored before the failure is not stored again
    expect(kept).toBeGreaterThan(0)
    const again = await backUp(repository, { paths: [dir] })
    expect(again.summary.dataBlobs).toBe(40 - kept)
    stockRestic(repoDir, 'check', '--read-data')
  })

  it.each([1, 2, 3])('at random (%i) never leaves a snapshot that cannot be read', async (seed) => {
    const dir = newDirectory()
    for (let i = 0; i < 20; i++) makeFiles(dir, { [`${i}/f`]: noise(i, 60_000) })
    const inner = openMemoryStore()
    await cheapRepository(inner)
    const faulty = faultyStore(inner, { seed, rate: 0.3, only: (operation) => operation === 'save' })
    const repository = await reopened(faulty)
    let snapshots = 0
    for (let attempt = 0; attempt < 3; attempt++) {
      await backUp(repository, { paths: [dir], packBytes: 400_000, workers: 1 }).then(
        () => snapshots++,
        (error: unknown) => expect(error).toMatchObject({ code: 'StoreUnavailable' }),
      )
    }
    const reader = await reopened(inner)
    await reader.loadIndex()
    const stored = await reader.listFiles('snapshot')
    expect(stored.length).toBeGreaterThanOrEqual(snapshots)
    for (const { id } of stored) {
      const { tree } = JSON.parse((await reader.loadUnpacked('snapshot', id)).toString()) as { tree: string }
      for (const node of (await allNodes(reader, tree)).values()) await contentOf(reader, node)
    }
  })
})

async function reopened(store: BlobStore): Promise<Repository> {
  return await openRepository(store, { password: testPassword })
}

describe('an aborted backup', () => {
  it('makes no snapshot, passes the check, and its packs are used by the next one', async () => {
    const dir = newDirectory()
    for (let i = 0; i < 60; i++) makeFiles(dir, { [`${i % 6}/${i}`]: noise(100 + i, 300_000) })
    const repoDir = join(newDirectory(), 'repo')
    const repository = await diskRepository(repoDir)
    const abort = new AbortController()
    let packs = 0
    // by way of the main thread, where the first pack can be seen to arrive
    const watched = {
      ...repository,
      store: wrapStore(repository.store, {
        save: async (file: FileName, body: Uint8Array) => {
          await repository.store.save(file, body)
          if (file.type === 'pack' && ++packs === 2) abort.abort(new HoldfastError('Cancelled', 'stopped'))
        },
      }),
    }
    const options = { paths: [dir], packBytes: MIB, workers: 1 }
    const error = await failedBackUp(watched, { ...options, signal: abort.signal })
    expect(error).toMatchObject({ code: 'Cancelled' })
    stockRestic(repoDir, 'check', '--read-data')
    await repository.loadIndex()
    const kept = repository.index.size
    expect(kept).toBeGreaterThan(2)
    const { summary } = await backUp(repository, options)
    expect(summary.dataBlobs).toBeLessThanOrEqual(60 - kept + 10)
    stockRestic(repoDir, 'check', '--read-data')
  })

  it('writes no index when it is because the lock was lost: its packs may be gone', async () => {
    const dir = newDirectory()
    for (let i = 0; i < 40; i++) makeFiles(dir, { [`${i}`]: noise(200 + i, 300_000) })
    const abort = new AbortController()
    const lost = new HoldfastError('LockLost', 'the lock could not be refreshed')
    const repository = await cheapRepository(onFirstPack(() => abort.abort(lost)))
    const options = { paths: [dir], packBytes: MIB, workers: 1 }
    expect(await failedBackUp(repository, { ...options, signal: abort.signal })).toBe(lost)
    expect(await repository.listFiles('pack')).not.toEqual([])
    expect(await repository.listFiles('index')).toEqual([])
  })

  it('stops a large file in the middle', async () => {
    const path = join(newDirectory(), 'large')
    writeFileSync(path, noise(7, 64 * MIB))
    const abort = new AbortController()
    const repository = await cheapRepository(
      onFirstPack(() => abort.abort(new HoldfastError('Cancelled', ''))),
    )
    let bytes = 0
    await repository.loadIndex()
    const options = { paths: [path], packBytes: MIB, workers: 1, signal: abort.signal }
    await expect(
      backup(repository, options, (event) => {
        if (event.kind === 'status') bytes = event.bytesDone
      }),
    ).rejects.toMatchObject({ code: 'Cancelled' })
    expect(bytes).toBeLessThan(64 * MIB)
  })
})

describe('a slow store', () => {
  /** Counts the packs that the main thread holds: those handed over by a worker and not yet stored. */
  const counting = (inner: BlobStore) => {
    const count = { now: 0, most: 0, stored: 0 }
    const store = wrapStore(inner, {
      save: async (file, body) => {
        if (file.type !== 'pack') return await inner.save(file, body)
        count.most = Math.max(count.most, ++count.now)
        await inner.save(file, body)
        count.now--
        count.stored += body.length
      },
    })
    return { store, count }
  }

  it('holds the workers back within one job of many files', async () => {
    const dir = newDirectory()
    for (let i = 0; i < 60; i++) makeFiles(dir, { [`${i}`]: noise(300 + i, 600_000) })
    const { store, count } = counting(laggingStore(openMemoryStore(), { seed: 1, longestMs: 10 }))
    const repository = await cheapRepository(store)
    await backUp(repository, { paths: [dir], packBytes: 600_000 })
    expect((await repository.listFiles('pack')).length).toBeGreaterThan(50)
    expect(count.most).toBeLessThanOrEqual(store.connections)
  })

  it('holds back a stream that could go faster', async () => {
    const { store, count } = counting(laggingStore(openMemoryStore(), { seed: 2, longestMs: 20 }))
    const repository = await cheapRepository(store)
    const ahead: number[] = []
    async function* open(): AsyncGenerator<Uint8Array> {
      const piece = noise(5, MIB)
      for (let sent = 0; sent < 128 * MIB; sent += MIB) {
        // different in every part that can become a chunk
        for (let at = 0; at < MIB; at += 4096) piece.writeUInt32LE(sent + at, at)
        yield piece
        ahead.push(sent - count.stored)
      }
    }
    const workers = 2
    await backUp(repository, { streams: [{ path: '/s', open }], packBytes: 2 * MIB, workers })
    expect(count.most).toBeLessThanOrEqual(store.connections)
    // packs handed over, open packs, blocks being cut or waiting for a worker, and the one being filled
    const bound = store.connections * 2 * MIB + workers * (3 * 10 * MIB + 2 * 16 * MIB) + 16 * MIB
    expect(Math.max(...ahead)).toBeLessThan(bound)
  })
})

describe('sockets', () => {
  it('are left out, as restic restores none', async () => {
    const dir = newDirectory()
    const server = createServer().listen(join(dir, 'socket'))
    await new Promise((resolve) => server.once('listening', resolve))
    const repository = await cheapRepository()
    const { errorCount, tree } = await backUp(repository, { paths: [dir] })
    server.close()
    expect(errorCount).toBe(0)
    expect([...(await allNodes(repository, tree)).keys()].at(-1)).toBe(dir)
  })
})
