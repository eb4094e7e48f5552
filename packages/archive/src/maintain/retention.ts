import { HoldfastError } from '@holdfast/contract'
import { compareNames } from '../format/byte-name.ts'
import type { StoredSnapshot } from '../format/snapshot.ts'
import { formatRetentionDuration, isZeroDuration, type RetentionDuration } from './retention-duration.ts'
import {
  processZone,
  subtractDuration,
  type WallClock,
  wallClock,
  type ZonedTime,
  type ZoneOffset,
  zonedTime,
} from './snapshot-clock.ts'

/**
 * Which snapshots of a group are kept. Counts: 0 or absent switches the rule off, -1 keeps all.
 * `tags`: a snapshot that has all tags of any one list is kept; the list [''] matches untagged snapshots.
 */
export interface RetentionPolicy {
  readonly last?: number
  readonly hourly?: number
  readonly daily?: number
  readonly weekly?: number
  readonly monthly?: number
  readonly yearly?: number
  readonly within?: RetentionDuration
  readonly withinHourly?: RetentionDuration
  readonly withinDaily?: RetentionDuration
  readonly withinWeekly?: RetentionDuration
  readonly withinMonthly?: RetentionDuration
  readonly withinYearly?: RetentionDuration
  readonly tags?: readonly (readonly string[])[]
}

/** What is left of each count after a snapshot was decided; -1 is "all", an absent member 0. */
export interface RetentionCounters {
  readonly last: number
  readonly hourly: number
  readonly daily: number
  readonly weekly: number
  readonly monthly: number
  readonly yearly: number
}

export interface RetentionDecision {
  readonly snapshot: StoredSnapshot
  readonly keep: boolean
  /** For a kept snapshot the rules that match, in restic's words; for a removed one why each rule did not. */
  readonly reasons: readonly string[]
  readonly counters: RetentionCounters
}

export interface RetentionContext {
  /** Milliseconds since the epoch; snapshots from the future do not count as the newest one. */
  readonly now: number
  readonly zone?: ZoneOffset
}

/**
 * Decides every snapshot of one group, newest first, exactly as `restic forget` does: "within" is relative to
 * the newest snapshot that is not in the future, calendar rules use the wall clock of each snapshot's own
 * zone, and a rule with places left also keeps the oldest snapshot. Pure.
 */
export function applyRetention(
  snapshots: readonly StoredSnapshot[],
  policy: RetentionPolicy,
  context: RetentionContext,
): readonly RetentionDecision[] {
  const zone = context.zone ?? processZone
  const dated = snapshots.map((snapshot) => ({ snapshot, time: zonedTime(snapshot.time, zone) }))
  dated.sort((a, b) => compareBig(b.time.epochNs, a.time.epochNs) || (a.snapshot.id < b.snapshot.id ? -1 : 1))
  const newest = newestNotInFuture(dated, BigInt(context.now) * 1_000_000n)
  const rules = buildRules(policy, newest)
  return dated.map(({ snapshot, time }, position) => {
    const moment: Moment = {
      snapshot,
      time,
      clock: wallClock(time),
      position,
      oldest: position === dated.length - 1,
    }
    const verdicts = rules.map((rule) => rule.consider(moment))
    const kept = verdicts.filter((verdict) => verdict.keeps)
    return {
      snapshot,
      keep: kept.length > 0,
      reasons: (kept.length > 0 ? kept : verdicts).map((verdict) => verdict.reason),
      counters: countersOf(rules),
    }
  })
}

/** True when no rule is switched on: such a policy must not be applied, it would remove everything. */
export function isEmptyPolicy(policy: RetentionPolicy): boolean {
  return (
    (policy.tags ?? []).length === 0 &&
    countRules.every(({ member }) => (policy[member] ?? 0) === 0) &&
    isZeroDuration(policy.within) &&
    withinRules.every(({ member }) => isZeroDuration(policy[member]))
  )
}

/** Throws InvalidInput when a count is not a whole number or is under -1. */
export function validatePolicy(policy: RetentionPolicy): void {
  for (const { member } of countRules) {
    const count = policy[member] ?? 0
    if (!Number.isSafeInteger(count) || count < -1) {
      throw new HoldfastError(
        'InvalidInput',
        `keep-${member} is ${count}; expected a whole number of at least 0, or -1 for all`,
        { guidance: 'Give the number of snapshots to keep, or "unlimited".' },
      )
    }
  }
}

/** Reads the value of a --keep-* option: a number of at least 0, or `unlimited` (-1). */
export function parseKeepCount(text: string): number {
  if (text === 'unlimited') {
    return -1
  }
  const count = Number(text)
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(count)) {
    throw new HoldfastError(
      'InvalidInput',
      `"${text}" is not a count; expected a number of at least 0 or "unlimited"`,
      {
        guidance: 'Negative values are not allowed; use "unlimited" to keep all.',
      },
    )
  }
  return count
}

/** The policy in one sentence, in restic's words. */
export function describePolicy(policy: RetentionPolicy): string {
  const counts = countRules
    .map(({ member, label }) => ({ label, count: policy[member] ?? 0 }))
    .filter(({ count }) => count !== 0)
    .map(({ label, count }) => (count === -1 ? `all ${label}` : `${count} ${label}`))
  const spans = withinRules
    .filter(({ member }) => !isZeroDuration(policy[member]))
    .map(({ member, period }) => `${period} snapshots within ${spanText(policy[member])}`)
  const snapshots = counts.length > 0 ? [`${counts.join(', ')} snapshots`] : []
  const parts = [...snapshots, ...spans].length > 0 ? [[...snapshots, ...spans].join(', ')] : []
  if ((policy.tags ?? []).length > 0) {
    parts.push(`all snapshots with tags [${(policy.tags ?? []).map(tagText).join(' ')}]`)
  }
  if (!isZeroDuration(policy.within)) {
    parts.push(`all snapshots within ${spanText(policy.within)} of the newest`)
  }
  return parts.length === 0 ? 'remove' : `keep ${parts.join(' and ')}`
}

/** True when the snapshot has every tag of the list; an empty tag matches a snapshot without tags. */
export function hasTags(snapshot: { readonly tags: readonly string[] }, tags: readonly string[]): boolean {
  for (const tag of tags) {
    if (tag === '' && snapshot.tags.length === 0) {
      return true
    }
    if (!snapshot.tags.includes(tag)) {
      return false
    }
  }
  return true
}

export interface GroupBy {
  readonly host: boolean
  readonly paths: boolean
  readonly tags: boolean
}

/** What the snapshots of a group have in common; a member that is not grouped by is empty. */
export interface SnapshotGroupKey {
  readonly host: string
  readonly paths: readonly string[]
  readonly tags: readonly string[]
}

export interface SnapshotGroup {
  readonly key: SnapshotGroupKey
  readonly snapshots: readonly StoredSnapshot[]
}

/** Reads `host,paths,tags` (singular or plural, any subset, empty for one group). Throws InvalidInput. */
export function parseGroupBy(text: string): GroupBy {
  const words = text.split(',').filter((word) => word !== '')
  const unknown = words.find((word) => !/^(hosts?|paths?|tags?)$/.test(word))
  if (unknown !== undefined) {
    throw new HoldfastError(
      'InvalidInput',
      `unknown grouping option "${unknown}"; expected host, paths or tags`,
      {
        guidance: 'Give a comma-separated list of host, paths and tags.',
      },
    )
  }
  const has = (word: string): boolean => words.includes(word) || words.includes(`${word}s`)
  return { host: has('host'), paths: has('path'), tags: has('tag') }
}

/** Splits snapshots into groups, ordered by host, paths and tags. Order inside a group is the order given. */
export function groupSnapshots(snapshots: readonly StoredSnapshot[], by: GroupBy): readonly SnapshotGroup[] {
  const groups = new Map<string, { key: SnapshotGroupKey; snapshots: StoredSnapshot[] }>()
  for (const snapshot of snapshots) {
    const key: SnapshotGroupKey = {
      host: by.host ? snapshot.hostname : '',
      paths: by.paths ? snapshot.paths.toSorted(compareNames) : [],
      tags: by.tags ? snapshot.tags.toSorted(compareNames) : [],
    }
    const name = JSON.stringify([key.host, key.paths, key.tags])
    const group = groups.get(name) ?? { key, snapshots: [] }
    group.snapshots.push(snapshot)
    groups.set(name, group)
  }
  return [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
}

interface Moment {
  readonly snapshot: StoredSnapshot
  readonly time: ZonedTime
  readonly clock: WallClock
  readonly position: number
  readonly oldest: boolean
}

interface Verdict {
  readonly keeps: boolean
  readonly reason: string
}

interface Rule {
  readonly member: string
  readonly left: () => number
  readonly consider: (moment: Moment) => Verdict
}

type Bucket = (moment: Moment) => number

const byHour: Bucket = ({ clock }) => ((clock.year * 100 + clock.month) * 100 + clock.day) * 100 + clock.hour
const byDay: Bucket = ({ clock }) => (clock.year * 100 + clock.month) * 100 + clock.day
const byWeek: Bucket = ({ clock }) => clock.weekYear * 100 + clock.week
const byMonth: Bucket = ({ clock }) => clock.year * 100 + clock.month
const byYear: Bucket = ({ clock }) => clock.year

const countRules = [
  { member: 'last', label: 'latest', reason: 'last snapshot', bucket: ({ position }: Moment) => position },
  { member: 'hourly', label: 'hourly', reason: 'hourly snapshot', bucket: byHour },
  { member: 'daily', label: 'daily', reason: 'daily snapshot', bucket: byDay },
  { member: 'weekly', label: 'weekly', reason: 'weekly snapshot', bucket: byWeek },
  { member: 'monthly', label: 'monthly', reason: 'monthly snapshot', bucket: byMonth },
  { member: 'yearly', label: 'yearly', reason: 'yearly snapshot', bucket: byYear },
] as const

const withinRules = [
  { member: 'withinHourly', period: 'hourly', bucket: byHour },
  { member: 'withinDaily', period: 'daily', bucket: byDay },
  { member: 'withinWeekly', period: 'weekly', bucket: byWeek },
  { member: 'withinMonthly', period: 'monthly', bucket: byMonth },
  { member: 'withinYearly', period: 'yearly', bucket: byYear },
] as const

function buildRules(policy: RetentionPolicy, newest: ZonedTime): readonly Rule[] {
  const rules: Rule[] = (policy.tags ?? []).map((tags) => tagRule(tags))
  if (policy.within !== undefined && !isZeroDuration(policy.within)) {
    rules.push(withinRule(policy.within, newest))
  }
  for (const { member, reason, bucket } of countRules) {
    const count = policy[member] ?? 0
    if (count !== 0) {
      rules.push(countRule({ member, count, reason, bucket }))
    }
  }
  for (const { member, period, bucket } of withinRules) {
    const span = policy[member]
    if (span !== undefined && !isZeroDuration(span)) {
      rules.push(periodWithinRule(period, span, newest, bucket))
    }
  }
  return rules
}

function tagRule(tags: readonly string[]): Rule {
  return {
    member: 'tags',
    left: () => 0,
    consider: ({ snapshot }) =>
      hasTags(snapshot, tags)
        ? { keeps: true, reason: `has tags ${tagText(tags)}` }
        : { keeps: false, reason: `does not have tags ${tagText(tags)}` },
  }
}

function withinRule(span: RetentionDuration, newest: ZonedTime): Rule {
  const limit = subtractDuration(newest, span)
  return {
    member: 'within',
    left: () => 0,
    consider: ({ time }) =>
      time.epochNs > limit
        ? { keeps: true, reason: `within ${spanText(span)}` }
        : { keeps: false, reason: `not within ${spanText(span)} of the newest snapshot` },
  }
}

interface CountRule {
  readonly member: string
  readonly count: number
  readonly reason: string
  readonly bucket: Bucket
}

function countRule({ member, count, reason, bucket }: CountRule): Rule {
  let left = count
  let previous = -1
  return {
    member,
    left: () => left,
    consider: (moment) => {
      if (left === 0) {
        return { keeps: false, reason: `not a ${reason}: all ${count} places are taken by newer snapshots` }
      }
      const value = bucket(moment)
      if (value === previous && !moment.oldest) {
        return { keeps: false, reason: `not a ${reason}: a newer snapshot stands for the same period` }
      }
      const oldest = value === previous ? 'oldest ' : ''
      previous = value
      left = left > 0 ? left - 1 : left
      return { keeps: true, reason: `${oldest}${reason}` }
    },
  }
}

function periodWithinRule(period: string, span: RetentionDuration, newest: ZonedTime, bucket: Bucket): Rule {
  const limit = subtractDuration(newest, span)
  const reason = `${period} within ${spanText(span)}`
  let previous = -1
  return {
    member: 'within',
    left: () => 0,
    consider: (moment) => {
      if (moment.time.epochNs <= limit) {
        return { keeps: false, reason: `not ${reason} of the newest snapshot` }
      }
      const value = bucket(moment)
      if (value === previous && !moment.oldest) {
        return { keeps: false, reason: `not ${reason}: a newer snapshot stands for the same period` }
      }
      const oldest = value === previous ? 'oldest ' : ''
      previous = value
      return { keeps: true, reason: `${oldest}${reason}` }
    },
  }
}

function newestNotInFuture(dated: readonly { readonly time: ZonedTime }[], nowNs: bigint): ZonedTime {
  // Go's zero time, the first of January of the year 1, is what restic uses when all are in the future.
  const zero: ZonedTime = { epochNs: -62_135_596_800_000_000_000n, offsetAt: () => 0 }
  return dated.find(({ time }) => time.epochNs < nowNs && time.epochNs > zero.epochNs)?.time ?? zero
}

function countersOf(rules: readonly Rule[]): RetentionCounters {
  const left = (member: string): number => rules.find((rule) => rule.member === member)?.left() ?? 0
  return {
    last: left('last'),
    hourly: left('hourly'),
    daily: left('daily'),
    weekly: left('weekly'),
    monthly: left('monthly'),
    yearly: left('yearly'),
  }
}

function spanText(span: RetentionDuration | undefined): string {
  return span === undefined ? '' : formatRetentionDuration(span)
}

function tagText(tags: readonly string[]): string {
  return `[${tags.join(', ')}]`
}

function compareBig(a: bigint, b: bigint): number {
  if (a === b) {
    return 0
  }
  return a < b ? -1 : 1
}
