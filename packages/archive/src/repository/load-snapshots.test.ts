import { beforeAll, describe, expect, it } from 'vitest'
import { cheapRepository } from '../backup/archive.testing.ts'
import { encodeSnapshot, type Snapshot } from '../format/snapshot.ts'
import { faultyStore } from '../stores/doubles.testing.ts'
import { openMemoryStore } from '../stores/memory.ts'
import { findSnapshot, loadSnapshots, matchesFilter, type SnapshotFilter } from './load-snapshots.ts'
import type { Repository } from './repository.ts'

const base: Snapshot = {
  time: '2024-01-01T00:00:00Z',
  tree: 'ab'.repeat(32),
  paths: ['/srv'],
  hostname: 'h',
  username: 'u',
  uid: 0,
  gid: 0,
  excludes: [],
  tags: [],
}

describe('snapshots', () => {
  let repository: Repository
  const ids: string[] = []
  const store = openMemoryStore()
  beforeAll(async () => {
    repository = await cheapRepository(store)
    const times = ['2024-03-01T00:00:00Z', '2024-03-01T01:30:00+02:00', '2023-12-31T23:59:59.999999999Z']
    for (const [i, time] of times.entries()) {
      const hostname = i === 1 ? 'other' : 'h'
      ids.push(await repository.saveUnpacked('snapshot', encodeSnapshot({ ...base, time, hostname })))
    }
  })

  it('come oldest first, whatever zone their times are in', async () => {
    const { snapshots, damaged } = await loadSnapshots(repository)
    expect(snapshots.map((s) => s.id)).toEqual([ids[2], ids[1], ids[0]])
    expect(damaged).toEqual([])
  })

  it('are found by id, by prefix, and as the latest that fits', async () => {
    expect((await findSnapshot(repository, 'latest')).id).toBe(ids[0])
    expect((await findSnapshot(repository, 'latest', { hosts: ['other'] })).id).toBe(ids[1])
    for (const id of ids) {
      expect((await findSnapshot(repository, id)).id).toBe(id)
      expect((await findSnapshot(repository, id.slice(0, 20))).id).toBe(id)
    }
  })

  it.each([
    ['latest', { hosts: ['nobody'] }, 'NotFound'],
    ['0'.repeat(64), {}, 'NotFound'],
    ['Latest', {}, 'InvalidInput'],
    ['', {}, 'InvalidInput'],
    ['../config', {}, 'InvalidInput'],
    ['0'.repeat(65), {}, 'InvalidInput'],
  ])('are never guessed: %j with %j is %s', async (ref, filter, code) => {
    await expect(findSnapshot(repository, ref, filter)).rejects.toMatchObject({ code })
  })

  it('with a common prefix are ambiguous', async () => {
    for (let i = 0; i < 17; i++)
      await repository.saveUnpacked(
        'snapshot',
        encodeSnapshot({ ...base, time: '2020-01-01T00:00:00Z', uid: i }),
      )
    // twenty ids and sixteen first digits
    const { snapshots } = await loadSnapshots(repository)
    const digits = snapshots.map((s) => s.id.slice(0, 1))
    const shared = digits.find((digit, i) => digits.indexOf(digit) !== i) ?? ''
    await expect(findSnapshot(repository, shared)).rejects.toMatchObject({ code: 'Ambiguous' })
  })

  it('do not vanish behind a store that fails: that is no damage', async () => {
    const failing = {
      ...repository,
      store: faultyStore(store, { seed: 1, rate: 1, only: (o) => o === 'list' }),
    }
    failing.listFiles = async (type) => await Array.fromAsync(failing.store.list(type))
    await expect(loadSnapshots(failing)).rejects.toMatchObject({ code: 'StoreUnavailable' })
  })

  it('are not called the latest while another one cannot be read', async () => {
    const id = await repository.saveUnpacked('snapshot', Buffer.from('{"time":1}'))
    await expect(findSnapshot(repository, 'latest')).rejects.toMatchObject({
      code: 'Damaged',
      place: `snapshot/${id}`,
    })
    expect((await findSnapshot(repository, ids[0] ?? '')).id).toBe(ids[0])
    expect((await loadSnapshots(repository)).damaged).toMatchObject([{ id }])
  })
})

describe('a filter', () => {
  it.each<readonly [SnapshotFilter, boolean]>([
    [{}, true],
    [{ hosts: ['h'] }, true],
    [{ hosts: ['x', 'h'] }, true],
    [{ hosts: ['x'] }, false],
    [{ tags: [['a']] }, true],
    [{ tags: [['a', 'b']] }, true],
    [{ tags: [['a', 'c']] }, false],
    [{ tags: [['c'], ['b']] }, true],
    [{ tags: [['']] }, false],
    [{ tags: [[]] }, false],
    [{ paths: ['/srv'] }, true],
    [{ paths: ['/srv', '/etc'] }, true],
    [{ paths: ['/srv', '/usr'] }, false],
    [{ hosts: ['h'], tags: [['c']], paths: ['/srv'] }, false],
  ])('%j admits a snapshot of h with tags a and b, of /srv and /etc: %s', (filter, admitted) => {
    const snapshot = { ...base, id: 'cd'.repeat(32), tags: ['a', 'b'], paths: ['/srv', '/etc'] }
    expect(matchesFilter(snapshot, filter)).toBe(admitted)
  })

  it('for no tags admits a snapshot without any', () => {
    expect(matchesFilter({ ...base, id: 'cd'.repeat(32) }, { tags: [['']] })).toBe(true)
  })
})
