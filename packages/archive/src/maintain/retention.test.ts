import { describe, expect, it } from 'vitest'
import { resticTool } from '../../../../tests/archive-tool.ts'
import { findPeer } from '../../../../tests/peers.ts'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import { encodeSnapshot, type StoredSnapshot } from '../format/snapshot.ts'
import { loadSnapshots } from '../repository/load-snapshots.ts'
import { makeRealRepository } from './real-repository.testing.ts'
import {
  applyRetention,
  describePolicy,
  groupSnapshots,
  isEmptyPolicy,
  parseGroupBy,
  parseKeepCount,
  type RetentionPolicy,
  validatePolicy,
} from './retention.ts'
import { formatRetentionDuration, parseRetentionDuration } from './retention-duration.ts'

function snapshot(time: string, members: Partial<StoredSnapshot> = {}): StoredSnapshot {
  const base = {
    tree: '0'.repeat(64),
    paths: ['/a'],
    hostname: 'host',
    username: 'u',
    uid: 0,
    gid: 0,
    excludes: [],
    tags: [],
  }
  return { ...base, id: time.padEnd(64, '0'), time, ...members }
}

const utc = { now: Date.parse('2030-01-01T00:00:00Z'), zone: () => 0 }
const kept = (times: readonly string[], policy: RetentionPolicy): readonly string[] =>
  applyRetention(
    times.map((time) => snapshot(time)),
    policy,
    utc,
  )
    .filter(({ keep }) => keep)
    .map(({ snapshot: { time } }) => time)

describe('retention rules', () => {
  const days = [
    '2024-03-10T01:00:00Z',
    '2024-03-09T23:00:00Z',
    '2024-03-09T01:00:00Z',
    '2024-02-01T00:00:00Z',
  ]

  it('keeps the newest of each period, and the oldest of all while places are left', () => {
    expect(kept(days, { daily: 2 })).toEqual([days[0], days[1]])
    expect(kept(days, { monthly: 5 })).toEqual([days[0], days[3]])
    expect(kept(days.slice(0, 3), { monthly: 2 })).toEqual([days[0], days[2]])
    expect(kept(days, { last: 1 })).toEqual([days[0]])
    expect(kept(days, { last: -1 })).toEqual(days)
  })

  it('takes the hour, day and week from the clock where the snapshot was made', () => {
    const times = ['2024-03-10T01:00:00+02:00', '2024-03-09T12:00:00+02:00', '2024-03-08T23:30:00-05:00']
    expect(kept(times, { daily: 3 })).toEqual(times)
    expect(
      kept(['2021-01-03T12:00:00Z', '2020-12-31T12:00:00Z', '2020-12-20T00:00:00Z'], { weekly: 1 }),
    ).toHaveLength(1)
    expect(
      kept(['2021-01-03T12:00:00Z', '2020-12-31T12:00:00Z', '2020-12-20T00:00:00Z'], { weekly: 9 }),
    ).toHaveLength(2)
  })

  it('counts "within" back from the newest snapshot, by the calendar', () => {
    const times = [
      '2024-03-31T00:00:00Z',
      '2024-03-03T00:00:00Z',
      '2024-03-02T00:00:00Z',
      '2024-02-29T00:00:00Z',
    ]
    const within = parseRetentionDuration('1m')
    // One month before 31 March is "31 February", which is 2 March; that moment itself is out.
    expect(kept(times, { within })).toEqual(times.slice(0, 2))
    expect(kept(times, { within: parseRetentionDuration('30d') })).toEqual(times.slice(0, 3))
  })

  it('says for every snapshot why it stays or goes', () => {
    const decisions = applyRetention(
      days.map((time) => snapshot(time)),
      { daily: 1, tags: [['x']] },
      utc,
    )
    expect(decisions.map(({ reasons }) => reasons)).toEqual([
      ['daily snapshot'],
      ['does not have tags [x]', 'not a daily snapshot: all 1 places are taken by newer snapshots'],
      ['does not have tags [x]', 'not a daily snapshot: all 1 places are taken by newer snapshots'],
      ['does not have tags [x]', 'not a daily snapshot: all 1 places are taken by newer snapshots'],
    ])
  })

  it('decides the same whenever it is asked, as long as no snapshot is from the future', () => {
    const random = seededRandom(7)
    for (let round = 0; round < 50; round += 1) {
      const list = randomSnapshots(random, 30)
      const policy = randomPolicy(random)
      const answers = [2030, 2040, 2099].map((year) =>
        applyRetention(list, policy, { now: Date.UTC(year, 0, 1), zone: () => 0 }),
      )
      expect(answers[1]).toEqual(answers[0])
      expect(answers[2]).toEqual(answers[0])
    }
  })

  it('does not take a snapshot from the future for the newest', () => {
    const times = ['2031-01-01T00:00:00Z', '2024-03-10T00:00:00Z', '2024-03-01T00:00:00Z']
    expect(kept(times, { within: parseRetentionDuration('2d') })).toEqual(times.slice(0, 2))
  })

  it('knows an empty policy, refuses impossible counts, and reads and writes durations', () => {
    expect(isEmptyPolicy({ last: 0, within: parseRetentionDuration('') })).toBe(true)
    expect(isEmptyPolicy({ tags: [['']] })).toBe(false)
    expect(() => validatePolicy({ daily: -2 })).toThrow('keep-daily is -2')
    expect(() => parseKeepCount('-1')).toThrow('not a count')
    expect(parseKeepCount('unlimited')).toBe(-1)
    expect(formatRetentionDuration(parseRetentionDuration(' 3h2y5m7d '))).toBe('2y5m7d3h')
    for (const text of ['5', 'y', '-1d', '1w', '1d 2h', '99999999y']) {
      expect(() => parseRetentionDuration(text)).toThrow('cannot be read')
    }
  })

  it('groups by host, paths in any order, and tags, and refuses other words', () => {
    const list = [
      snapshot('2024-01-01T00:00:00Z', { paths: ['/b', '/a'] }),
      snapshot('2024-01-02T00:00:00Z', { paths: ['/a', '/b'], tags: ['t'] }),
      snapshot('2024-01-03T00:00:00Z', { paths: ['/a', '/b'], hostname: 'other' }),
    ]
    expect(groupSnapshots(list, parseGroupBy('host,paths')).map(({ snapshots }) => snapshots.length)).toEqual(
      [2, 1],
    )
    expect(groupSnapshots(list, parseGroupBy('tag'))).toHaveLength(2)
    expect(groupSnapshots(list, parseGroupBy(''))).toHaveLength(1)
    expect(() => parseGroupBy('host,size')).toThrow('"size"')
  })

  it('describes a policy in words', () => {
    expect(
      describePolicy({ last: 3, daily: -1, within: parseRetentionDuration('1y'), tags: [['a', 'b']] }),
    ).toBe(
      'keep 3 latest, all daily snapshots and all snapshots with tags [[a, b]] and all snapshots within 1y of the newest',
    )
  })
})

const peer = findPeer('restic-new')

describe.skipIf(peer === undefined)('against stock restic', () => {
  it('keeps and removes exactly what restic forget does, for the same reasons', async () => {
    await using real = makeRealRepository()
    const restic = resticTool(peer!)
    const repo = await real.open()
    const random = seededRandom(20240310)
    for (const { id: _id, ...members } of randomSnapshots(random, 150)) {
      await repo.saveUnpacked('snapshot', encodeSnapshot(members))
    }
    const { snapshots } = await loadSnapshots(repo)
    const previous = process.env['TZ']
    try {
      for (let round = 0; round < 24; round += 1) {
        // A zone with daylight saving time, so that snapshots of this process's own zone are among them.
        process.env['TZ'] = round % 2 === 0 ? 'Europe/Berlin' : 'UTC'
        const policy = randomPolicy(random)
        const groupBy = random.pick(['host,paths', 'host', 'tags', ''])
        const run = real.attempt(
          restic,
          'forget',
          '--dry-run',
          '--json',
          '--group-by',
          groupBy,
          ...flagsOf(policy),
        )
        expect(run.status, run.stderr).toBe(0)
        const ours = groupSnapshots(snapshots, parseGroupBy(groupBy)).map(({ key, snapshots: members }) => {
          const decisions = applyRetention(members, policy, { now: Date.now() })
          return { key, decisions }
        })
        expect(normalise(ours), JSON.stringify({ policy, groupBy })).toEqual(normaliseRestic(run.stdout))
      }
    } finally {
      if (previous === undefined) {
        delete process.env['TZ']
      } else {
        process.env['TZ'] = previous
      }
    }
  })
})

type Ours = readonly {
  readonly key: { readonly host: string; readonly paths: readonly string[]; readonly tags: readonly string[] }
  readonly decisions: ReturnType<typeof applyRetention>
}[]

function normalise(groups: Ours): unknown {
  return groups
    .map(({ key, decisions }) => ({
      key: [key.host, ...key.paths, '|', ...key.tags].join(' '),
      keep: decisions.filter(({ keep }) => keep).map(({ snapshot: { id } }) => id),
      remove: decisions.filter(({ keep }) => !keep).map(({ snapshot: { id } }) => id),
      reasons: decisions.filter(({ keep }) => keep).map(({ reasons }) => reasons),
    }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

interface ResticGroup {
  readonly tags: readonly string[] | null
  readonly host: string
  readonly paths: readonly string[] | null
  readonly keep: readonly { readonly id: string }[] | null
  readonly remove: readonly { readonly id: string }[] | null
  readonly reasons: readonly { readonly matches: readonly string[] }[] | null
}

function normaliseRestic(output: string): unknown {
  const groups = JSON.parse(output) as readonly ResticGroup[]
  return groups
    .map((group) => ({
      key: [group.host, ...(group.paths ?? []), '|', ...(group.tags ?? [])].join(' '),
      keep: (group.keep ?? []).map(({ id }) => id),
      remove: (group.remove ?? []).map(({ id }) => id),
      reasons: (group.reasons ?? []).map(({ matches }) => matches),
    }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1))
}

type Random = ReturnType<typeof seededRandom>

function randomSnapshots(random: Random, count: number): readonly StoredSnapshot[] {
  const zones = ['Z', '+01:00', '+02:00', '-05:00', '+05:45']
  const list: StoredSnapshot[] = []
  let ms = Date.UTC(2023, 2, 20)
  for (let i = 0; i < count; i += 1) {
    // From minutes to weeks apart, around both changes of the clock.
    ms += random.pick([5, 40, 90, 700, 1500, 9000]) * 60_000 + random.below(60_000)
    const zone = random.pick(zones)
    const sign = zone.startsWith('-') ? -1 : 1
    const offset = zone === 'Z' ? 0 : sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))) * 60_000
    const time = new Date(ms + offset).toISOString().replace('Z', zone)
    const tags = random.pick([[], ['a'], ['b', 'a'], ['x y']])
    const paths = random.pick([['/srv'], ['/home', '/etc'], ['/etc', '/home']])
    list.push(
      snapshot(time, {
        id: i.toString(16).padStart(64, '0'),
        tags,
        paths,
        hostname: random.pick(['one', 'two']),
      }),
    )
  }
  return list
}

function randomPolicy(random: Random): RetentionPolicy {
  const count = (): number => random.pick([0, 0, 1, 2, 5, 30, -1])
  const span = () =>
    parseRetentionDuration(random.pick(['', '', '3h', '2d', '1m', '1m15d6h', '1y', '5m7d3h']))
  const policy: RetentionPolicy = {
    last: random.pick([1, 0, 3]),
    hourly: count(),
    daily: count(),
    weekly: count(),
    monthly: count(),
    yearly: count(),
    within: span(),
    withinHourly: span(),
    withinDaily: span(),
    withinWeekly: span(),
    withinMonthly: span(),
    withinYearly: span(),
    tags: random.pick([[], [['a']], [['a', 'b']], [['b', 'a'], ['x y']], [['']]]),
  }
  // restic refuses a policy that keeps nothing of a group; one rule always does.
  return (policy.last ?? 0) > 0 ? policy : { ...policy, daily: Math.max(1, policy.daily ?? 0) }
}

function flagsOf(policy: RetentionPolicy): readonly string[] {
  const flags: string[] = []
  for (const member of ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const) {
    const count = policy[member] ?? 0
    flags.push(`--keep-${member}`, count === -1 ? 'unlimited' : String(count))
  }
  const spans = {
    within: '',
    withinHourly: '-hourly',
    withinDaily: '-daily',
    withinWeekly: '-weekly',
    withinMonthly: '-monthly',
    withinYearly: '-yearly',
  }
  for (const [member, suffix] of Object.entries(spans)) {
    const span = policy[member as keyof typeof spans]
    if (span !== undefined && formatRetentionDuration(span) !== '') {
      flags.push(`--keep-within${suffix}`, formatRetentionDuration(span))
    }
  }
  for (const tags of policy.tags ?? []) {
    flags.push('--keep-tag', tags.join(','))
  }
  return flags
}
