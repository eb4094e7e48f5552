import { describe, expect, it } from 'vitest'
import type { StoredSnapshot } from '../format/snapshot.ts'
import { chooseParent, type ParentWish } from './choose-parent.ts'

const at = (timeNs: bigint, members: Partial<StoredSnapshot> = {}) => ({
  timeNs,
  snapshot: {
    id: `${timeNs}`,
    time: '',
    tree: '',
    paths: ['/a', '/b'],
    hostname: 'h',
    username: '',
    uid: 0,
    gid: 0,
    excludes: [],
    tags: ['x', 'y'],
    ...members,
  },
})
const wish: ParentWish = {
  hostname: 'h',
  paths: ['/a', '/b'],
  tags: ['x', 'y'],
  groupBy: new Set(['host', 'paths']),
  beforeNs: 100n,
}
const chosen = (snapshots: Parameters<typeof chooseParent>[0], change: Partial<ParentWish> = {}) =>
  chooseParent(snapshots, { ...wish, ...change })?.id

describe('the parent', () => {
  it('is the newest that is not later than the new snapshot', () => {
    expect(chosen([at(1n), at(50n), at(100n), at(101n)])).toBe('100')
    expect(chosen([at(101n)])).toBeUndefined()
    expect(chosen([])).toBeUndefined()
  })

  it.each<readonly [Partial<StoredSnapshot>, readonly ('host' | 'paths' | 'tags')[], boolean]>([
    [{ hostname: 'other' }, ['host', 'paths'], false],
    [{ hostname: 'other' }, ['paths'], true],
    [{ paths: ['/b', '/a'] }, ['paths'], true],
    [{ paths: ['/a'] }, ['paths'], false],
    [{ paths: ['/a', '/b', '/c'] }, ['paths'], false],
    [{ paths: ['/a', '/a'] }, ['paths'], false],
    [{ paths: ['/c'] }, ['host'], true],
    [{ tags: ['z'] }, ['host', 'paths'], true],
    [{ tags: ['z'] }, ['tags'], false],
    [{ tags: ['y', 'x'] }, ['tags'], true],
    [{ hostname: 'other', paths: [], tags: [] }, [], true],
  ])('with %j, grouped by %j, fits: %s', (members, groupBy, fits) => {
    expect(chosen([at(1n, members)], { groupBy: new Set(groupBy) })).toBe(fits ? '1' : undefined)
  })
})
