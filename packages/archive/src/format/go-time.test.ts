import { execFileSync } from 'node:child_process'
import { isHoldfastError } from '@holdfast/contract'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatGoTime, isGoTime, parseGoTime } from './go-time.ts'

const source = new URL('./go-time.ts', import.meta.url).href

/** What a process in that zone prints for these times: the zone is read once per process. */
function formatIn(zone: string, times: readonly bigint[]): readonly string[] {
  const script = `import { formatGoTime } from ${JSON.stringify(source)}
    console.log(JSON.stringify(${JSON.stringify(times.map(String))}.map((t) => formatGoTime(BigInt(t)))))`
  const options = { env: { ...process.env, TZ: zone }, encoding: 'utf8' } as const
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', script], options),
  ) as string[]
}

const FIRST = -62167219200n * 1_000_000_000n
const LAST = 253402300799n * 1_000_000_000n

describe('formatGoTime', () => {
  it('is undone by parseGoTime within the years 0 to 9999', () => {
    const margin = 86400n * 1_000_000_000n
    fc.assert(
      fc.property(fc.bigInt(FIRST + margin, LAST - margin), (ns) => parseGoTime(formatGoTime(ns)) === ns),
      { numRuns: 2000 },
    )
  })

  it.each([
    [0n, '1970-01-01T00:00:00Z'],
    [-1n, '1969-12-31T23:59:59.999999999Z'],
    [1_700_000_000_120_000_000n, '2023-11-14T22:13:20.12Z'],
    [951_782_400_000_000_001n, '2000-02-29T00:00:00.000000001Z'],
    [-62_135_596_800_000_000_000n, '0001-01-01T00:00:00Z'],
    [10n ** 21n, '9999-09-27T01:46:40Z'],
    [-(10n ** 20n), '0000-02-15T14:13:20Z'],
    // 10000-02-29: the year moved to has no such day, so Go counts on to March.
    [253_407_398_400_000_000_000n, '9999-03-01T00:00:00Z'],
  ])('prints %d ns as Go does in UTC', (ns, text) => {
    expect(formatIn('UTC', [ns])).toEqual([text])
  })

  // Expected values printed by go1.26 with time.Unix(...).MarshalJSON in these zones.
  it.each([
    ['America/New_York', 1_700_000_000n, '2023-11-14T17:13:20-05:00'],
    ['America/New_York', 1_720_000_000n, '2024-07-03T05:46:40-04:00'],
    ['Asia/Kolkata', 1_700_000_000n, '2023-11-15T03:43:20+05:30'],
    ['Australia/Lord_Howe', 1_720_000_000n, '2024-07-03T20:16:40+10:30'],
    ['Europe/London', 1_700_000_000n, '2023-11-14T22:13:20Z'],
    ['Europe/London', 1_720_000_000n, '2024-07-03T10:46:40+01:00'],
    // Local mean time with seconds, of which the zone shows minutes only.
    ['America/New_York', -33_244_436_805n, '0916-07-11T05:17:13-04:56'],
    ['America/St_Johns', -1_329_221_565n, '1927-11-18T08:16:23-03:30'],
  ])('prints the local time of %s at %d s', (zone, seconds, text) => {
    expect(formatIn(zone, [seconds * 1_000_000_000n])).toEqual([text])
  })

  it('follows a change of offset from one second to the next', () => {
    const change = 1_710_054_000n
    const times = [change - 1n, change, change - 1n, change + 899n, change - 900n]
    expect(
      formatIn(
        'America/New_York',
        times.map((t) => t * 1_000_000_000n),
      ),
    ).toEqual([
      '2024-03-10T01:59:59-05:00',
      '2024-03-10T03:00:00-04:00',
      '2024-03-10T01:59:59-05:00',
      '2024-03-10T03:14:59-04:00',
      '2024-03-10T01:45:00-05:00',
    ])
  })
})

describe('parseGoTime', () => {
  it('reads offsets and any number of digits', () => {
    expect(parseGoTime('2024-01-01T01:00:00.5+01:00')).toBe(parseGoTime('2024-01-01T00:00:00.500000000Z'))
    expect(parseGoTime('2023-12-31T14:00:00.1234567891-10:00')).toBe(
      parseGoTime('2024-01-01T00:00:00.123456789Z'),
    )
  })

  it.each([
    '',
    '2024-01-01',
    '2024-01-01T00:00:00',
    '2024-01-01 00:00:00Z',
    '2024-13-01T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T00:60:00Z',
    '2024-01-01T00:00:60Z',
    '2024-01-01T00:00:00.Z',
    '2024-01-01T00:00:00,5Z',
    '2024-01-01T00:00:00+24:00',
    '2024-01-01T00:00:00+0100',
    '2024-01-01T00:00:00Zx',
    '+024-01-01T00:00:00Z',
    `2024-01-01T00:00:00.${'0'.repeat(100)}Z`,
  ])('refuses %j as Damaged', (text) => {
    let caught: unknown
    try {
      parseGoTime(text)
    } catch (error) {
      caught = error
    }
    expect(isHoldfastError(caught, 'Damaged')).toBe(true)
    expect(isGoTime(text)).toBe(false)
  })
})
