import { describe, expect, it } from 'vitest'
import { testPassword } from '../../../../tests/archive-tool.ts'
import { cheapRepository, diskRepository, noise } from '../backup/archive.testing.ts'
import { type Hex, sha256Hex } from '../format/ids.ts'
import { encodeIndexFile } from '../format/index-file.ts'
import { scratchDirectory } from '../posix/scratch-directory.testing.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { faultyStore } from '../stores/doubles.testing.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { openBlobWriter } from './blob-writer.ts'
import { initRepository } from './init-repository.ts'
import { loadSnapshots } from './load-snapshots.ts'
import { addKeyFile, findMasterKey } from './master-key.ts'
import { openRepository, type Repository } from './repository.ts'

const cost = { N: 2, r: 1, p: 1 }
const scratch = scratchDirectory('repository')

function flip(files: Map<string, Buffer>, path: string, at: number): void {
  const bytes = files.get(path)
  if (bytes === undefined) throw new Error(`there is no ${path}`)
  const changed = Buffer.from(bytes)
  changed[at] = (changed[at] ?? 0) ^ 1
  files.set(path, changed)
}

const packPath = (id: Hex): string => `data/${id.slice(0, 2)}/${id}`

async function inMemory(options: object = {}) {
  const files = new Map<string, Buffer>()
  const store = openMemoryStore({ files })
  return { files, store, repository: await cheapRepository(store, options) }
}

describe('init', () => {
  it.each([1, 2] as const)(
    'makes a repository of version %i that opens again with its password',
    async (version) => {
      const { store, repository } = await inMemory({ version })
      const again = await openRepository(store, { password: testPassword })
      expect(again.config).toEqual(repository.config)
      expect(again.masterKey).toEqual(repository.masterKey)
      expect(again.keyId).toBe(repository.keyId)
      expect(again.config.version).toBe(version)
      expect(again.compressionLevel > 0).toBe(version === 2)
    },
  )

  it('refuses a place that is taken, and changes nothing there', async () => {
    const { files, store } = await inMemory()
    const before = new Map(files)
    await expect(initRepository(store, { password: 'x', scryptCost: cost })).rejects.toMatchObject({
      code: 'RepositoryExists',
    })
    expect(files).toEqual(before)
  })

  it('by two at once leaves one repository with one key', async () => {
    const files = new Map<string, Buffer>()
    const store = openMemoryStore({ files })
    const both = await Promise.allSettled(
      ['a', 'b'].map(async (password) => await initRepository(store, { password, scryptCost: cost })),
    )
    expect(both.map((one) => one.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(both.find((one) => one.status === 'rejected')).toMatchObject({
      reason: { code: 'RepositoryExists' },
    })
    expect([...files.keys()].filter((path) => path.startsWith('keys/'))).toHaveLength(1)
    const winner = both[0]?.status === 'fulfilled' ? 'a' : 'b'
    await openRepository(store, { password: winner })
  })

  it('that was interrupted before its config can be run again', async () => {
    const files = new Map<string, Buffer>()
    const inner = openMemoryStore({ files })
    const failing = faultyStore(inner, {
      seed: 1,
      rate: 1,
      when: 'before',
      only: (_, file) => file?.type === 'config',
    })
    await expect(initRepository(failing, { password: 'x', scryptCost: cost })).rejects.toMatchObject({
      code: 'StoreUnavailable',
    })
    await cheapRepository(inner)
    await openRepository(inner, { password: testPassword })
  })

  it('does not take an unreachable store for an empty one', async () => {
    const { store } = await inMemory()
    const failing = faultyStore(store, { seed: 1, rate: 1, only: (operation) => operation === 'stat' })
    await expect(initRepository(failing, { password: 'x', scryptCost: cost })).rejects.toMatchObject({
      code: 'StoreUnavailable',
    })
  })

  it.each([
    ['an empty password', { password: '' }],
    ['a reducible polynomial', { password: 'x', polynomial: 0x3da3358b4dc172n }],
    ['a polynomial of another degree', { password: 'x', polynomial: 0x3n }],
  ])('refuses %s and stores no config', async (_, options) => {
    const files = new Map<string, Buffer>()
    await expect(
      initRepository(openMemoryStore({ files }), { scryptCost: cost, ...options }),
    ).rejects.toMatchObject({ code: 'InvalidInput' })
    expect(files.has('config')).toBe(false)
  })
})

describe('opening', () => {
  it('tells an empty place, a wrong password and a damaged config apart', async () => {
    const open = async (store: BlobStore, password = testPassword) =>
      await openRepository(store, { password })
    await expect(open(openMemoryStore())).rejects.toMatchObject({ code: 'RepositoryNotFound' })
    const { files, store } = await inMemory()
    await expect(open(store, 'wrong')).rejects.toMatchObject({ code: 'WrongPassword' })
    flip(files, 'config', 30)
    await expect(open(store)).rejects.toMatchObject({ code: 'Damaged', place: 'config' })
  })

  it('passes over damaged and foreign keys while one opens, and names the damage when none does', async () => {
    const { files, store, repository } = await inMemory()
    const { primitives, masterKey } = repository
    await addKeyFile(store, primitives, { masterKey, password: 'second', cost })
    const [first = '', second = ''] = [...files.keys()].filter((path) => path.startsWith('keys/'))
    flip(files, first, 10)
    await findMasterKey(store, primitives, 'second')
    await expect(findMasterKey(store, primitives, 'third')).rejects.toMatchObject({
      code: 'Damaged',
      place: first.replace('keys', 'key'),
    })
    flip(files, first, 10)
    files.set(second, Buffer.from('{}'))
    expect((await findMasterKey(store, primitives, testPassword)).masterKey).toEqual(masterKey)
  })

  it('asks no more than twenty keys, as a hostile store could have any number', async () => {
    const { store, repository } = await inMemory()
    const { primitives, masterKey } = repository
    for (let i = 0; i < 25; i++) await addKeyFile(store, primitives, { masterKey, password: `${i}`, cost })
    let loads = 0
    const counting: BlobStore = {
      ...store,
      load: async (file, range) => (loads++, await store.load(file, range)),
    }
    await expect(findMasterKey(counting, primitives, 'none of them')).rejects.toMatchObject({
      code: 'WrongPassword',
    })
    expect(loads).toBe(20)
  })
})

describe('small files', () => {
  it('come back as they were saved, under the hash of what is stored', async () => {
    const { files, repository } = await inMemory()
    const json = Buffer.from(JSON.stringify({ long: 'text '.repeat(1000) }))
    const id = await repository.saveUnpacked('lock', json)
    expect(await repository.loadUnpacked('lock', id)).toEqual(json)
    const stored = files.get(`locks/${id}`) ?? Buffer.alloc(0)
    expect(sha256Hex(stored)).toBe(id)
    expect(stored.length).toBeLessThan(500)
    await repository.removeFile('lock', id)
    await expect(repository.loadUnpacked('lock', id)).rejects.toMatchObject({ code: 'NotFound' })
  })

  it('in version 1 are not compressed', async () => {
    const { files, repository } = await inMemory({ version: 1 })
    const json = Buffer.from(JSON.stringify({ long: 'text '.repeat(1000) }))
    const id = await repository.saveUnpacked('lock', json)
    expect(files.get(`locks/${id}`)).toHaveLength(json.length + 32)
    expect(await repository.loadUnpacked('lock', id)).toEqual(json)
  })

  it('with a flipped bit, or under another name, are refused by name', async () => {
    const { files, repository } = await inMemory()
    const id = await repository.saveUnpacked('lock', Buffer.from('{"a":1}'))
    const other = sha256Hex(Buffer.from('other'))
    files.set(`locks/${other}`, files.get(`locks/${id}`) ?? Buffer.alloc(0))
    await expect(repository.loadUnpacked('lock', other)).rejects.toMatchObject({
      code: 'Damaged',
      place: `lock/${other}`,
    })
    flip(files, `locks/${id}`, 20)
    await expect(repository.loadUnpacked('lock', id)).rejects.toMatchObject({
      code: 'Damaged',
      place: `lock/${id}`,
    })
  })

  it('that hash to their name but were not sealed with this key are refused', async () => {
    const { files, repository } = await inMemory()
    const forged = noise(1, 500)
    const id = sha256Hex(forged)
    files.set(`snapshots/${id}`, forged)
    await expect(repository.loadUnpacked('snapshot', id)).rejects.toMatchObject({
      code: 'Damaged',
      place: `snapshot/${id}`,
    })
    const { snapshots, damaged } = await loadSnapshots(repository)
    expect(snapshots).toEqual([])
    expect(damaged).toMatchObject([{ id, error: { code: 'Damaged' } }])
  })

  it('are read once as index while the store lists the same ones, also by two at once', async () => {
    const { repository } = await inMemory()
    await repository.saveUnpacked('index', encodeIndexFile({ supersedes: [], packs: [] }))
    const [first, beside] = await Promise.all([repository.loadIndex(), repository.loadIndex()])
    expect(beside).toBe(first)
    expect(await repository.loadIndex()).toBe(first)
    const added = await repository.saveUnpacked('index', Buffer.from('{"packs":[]}'))
    const second = await repository.loadIndex()
    expect(second).not.toBe(first)
    expect(second.indexFiles).toContain(added)
    expect(repository.index).toBe(second)
  })

  it('make an index that names the file that is damaged', async () => {
    const { files, repository } = await inMemory()
    const good = await repository.saveUnpacked('index', encodeIndexFile({ supersedes: [], packs: [] }))
    expect((await repository.loadIndex()).indexFiles).toEqual([good])
    const bad = await repository.saveUnpacked('index', Buffer.from('{"packs":[{"id":"x"}]}'))
    await expect(repository.loadIndex()).rejects.toMatchObject({
      code: 'Damaged',
      place: expect.stringContaining(`index/${bad}`),
    })
    await repository.removeFile('index', bad)
    flip(files, `index/${good}`, 40)
    await expect(repository.loadIndex()).rejects.toMatchObject({ code: 'Damaged', place: `index/${good}` })
  })
})

describe('blobs', () => {
  const plain = noise(1, 5000)
  const id = sha256Hex(plain)

  /** The same blob in two packs. */
  async function withTwoCopies() {
    const { files, repository } = await inMemory()
    for (let i = 0; i < 2; i++) {
      const writer = openBlobWriter(repository)
      await writer.save('data', id, plain)
      await writer.flush()
    }
    await repository.loadIndex()
    return { files, repository, copies: repository.index.find('data', id) }
  }

  it('with one damaged copy are read from the other, with none left name the pack and offset', async () => {
    const { files, repository, copies } = await withTwoCopies()
    expect(copies).toHaveLength(2)
    for (const [i, copy] of copies.entries()) {
      expect((await repository.loadBlob('data', id)).equals(plain)).toBe(true)
      if (i === 0) flip(files, packPath(copy.packId), copy.offset + 100)
      else files.delete(packPath(copy.packId))
    }
    await expect(repository.loadBlob('data', id)).rejects.toMatchObject({
      code: 'Damaged',
      place: `pack ${copies[0]?.packId}, offset ${copies[0]?.offset}`,
    })
  })

  it('that no index knows are not found, and a data blob is no tree', async () => {
    const { repository } = await withTwoCopies()
    await expect(repository.loadBlob('tree', id)).rejects.toMatchObject({ code: 'NotFound' })
    await expect(repository.loadBlob('data', sha256Hex(Buffer.from('?')))).rejects.toMatchObject({
      code: 'NotFound',
    })
  })

  it.each([
    ['is another length than said', { uncompressedLength: 4999 }, 'Damaged'],
    ['would not fit in memory', { uncompressedLength: 4_000_000_000 }, 'LimitExceeded'],
    ['is shorter than a seal', { length: 31 }, 'Damaged'],
    ['lies behind the end of its pack', { offset: 1_000_000 }, 'Damaged'],
  ])('whose index entry %s are refused', async (_, change, code) => {
    const { repository } = await inMemory()
    const text = Buffer.from('compressible '.repeat(1000))
    const textId = sha256Hex(text)
    const writer = openBlobWriter(repository, { writeIndex: false })
    await writer.save('data', textId, text)
    const { packs } = await writer.flush()
    const lying = packs.map((pack) => ({
      ...pack,
      blobs: pack.blobs.map((blob) => ({ ...blob, ...change })),
    }))
    const saved = await repository
      .saveUnpacked('index', encodeIndexFile({ supersedes: [], packs: lying }))
      .then(async () => await repository.loadIndex())
      .then(
        async () => await repository.loadBlob('data', textId),
        (error: unknown) => Promise.reject(error),
      )
      .catch((error: unknown) => error)
    expect(saved).toMatchObject({
      code: expect.stringMatching(code === 'Damaged' ? /Damaged|LimitExceeded/ : code),
    })
  })
})

describe('a blob writer', () => {
  const places: readonly (readonly [string, () => Promise<Repository>])[] = [
    ['in memory', async () => (await inMemory()).repository],
    ['on disk', async () => await diskRepository(`${scratch}/writer`)],
    ['in version 1', async () => (await inMemory({ version: 1 })).repository],
  ]
  it.each(places)(
    'stores data and trees in packs of their own, indexed and readable: %s',
    async (_, open) => {
      const repository = await open()
      const writer = openBlobWriter(repository, { packBytes: 20_000 })
      const blobs = Array.from({ length: 40 }, (__, i) => {
        const body = i % 2 === 0 ? noise(i, 3000) : Buffer.from(`{"nodes":[]}${' '.repeat(i)}\n`)
        return { type: i % 2 === 0 ? ('data' as const) : ('tree' as const), id: sha256Hex(body), body }
      })
      for (const { type, id, body } of blobs) await writer.save(type, id, body)
      const { packs, indexFiles, packedBytes } = await writer.flush()
      expect(packs.length).toBeGreaterThan(3)
      for (const pack of packs) expect(new Set(pack.blobs.map((blob) => blob.type)).size).toBe(1)
      const index = await repository.loadIndex()
      expect(index.indexFiles).toEqual(indexFiles)
      expect(index.size).toBe(40)
      for (const { type, id, body } of blobs)
        expect((await repository.loadBlob(type, id)).equals(body)).toBe(true)
      const sizes = (await repository.listFiles('pack')).reduce((sum, file) => sum + file.size, 0)
      expect(packedBytes).toBe(sizes)
      await repository[Symbol.asyncDispose]()
    },
  )

  it('takes sealed blobs as they are, and leaves the index to its caller when told to', async () => {
    const { repository } = await inMemory()
    const first = openBlobWriter(repository)
    const plain = Buffer.from('text '.repeat(1000))
    await first.save('data', sha256Hex(plain), plain)
    await first.flush()
    const [copy] = (await repository.loadIndex()).find('data', sha256Hex(plain))
    if (copy === undefined) return expect.unreachable()
    const { packId, offset, length, uncompressedLength } = copy
    const bytes = await repository.store.load({ type: 'pack', id: packId }, { offset, length })
    const second = openBlobWriter(repository, { writeIndex: false })
    await second.saveSealed('data', sha256Hex(plain), { bytes, uncompressedLength })
    const { packs, indexFiles } = await second.flush()
    expect(indexFiles).toEqual([])
    expect(packs).toMatchObject([{ blobs: [{ length, uncompressedLength }] }])
    for (const { id } of await repository.listFiles('index')) await repository.removeFile('index', id)
    await repository.saveUnpacked('index', encodeIndexFile({ supersedes: [], packs }))
    await repository.removeFile('pack', packId)
    await repository.loadIndex()
    expect((await repository.loadBlob('data', sha256Hex(plain))).equals(plain)).toBe(true)
  })

  it('throws what the store threw, at the latest from flush, and indexes no pack that is not there', async () => {
    const { store } = await inMemory()
    const faulty = faultyStore(store, {
      seed: 5,
      rate: 0.5,
      when: 'before',
      only: (_, file) => file?.type === 'pack',
    })
    const repository = await openRepository(faulty, { password: testPassword })
    const writer = openBlobWriter(repository, { packBytes: 5000 })
    const work = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const body = noise(i, 4000)
        await writer.save('data', sha256Hex(body), body)
      }
      await writer.flush()
    }
    await expect(work()).rejects.toMatchObject({ code: 'StoreUnavailable' })
    const packs = new Set((await repository.listFiles('pack')).map((file) => file.id))
    for (const id of (await repository.loadIndex()).packs()) expect(packs).toContain(id)
  })
})
