import { isHoldfastError } from '@holdfast/contract'
import { describe, expect, test } from 'vitest'
import { parseVerb } from '../../cli.testing.ts'
import type { Verb } from '../verb.ts'
import { backupVerb } from './backup.ts'
import { catVerb } from './cat.ts'
import { checkVerb } from './check.ts'
import { copyVerb } from './copy.ts'
import { diffVerb } from './diff.ts'
import { dumpVerb } from './dump.ts'
import { findVerb } from './find.ts'
import { forgetVerb } from './forget.ts'
import { initVerb } from './init.ts'
import { keyAddVerb } from './key/key-add.ts'
import { keyRemoveVerb } from './key/key-remove.ts'
import { listVerb } from './list.ts'
import { lsVerb } from './ls.ts'
import { pruneVerb } from './prune.ts'
import { repairPacksVerb } from './repair/repair-packs.ts'
import { restoreVerb } from './restore.ts'
import { snapshotsVerb } from './snapshots.ts'
import { statsVerb } from './stats.ts'
import { tagVerb } from './tag.ts'
import { unlockVerb } from './unlock.ts'

type AnyVerb = Verb<never, object>

/** A row: a claim, the verb, its words, and what of its options must come out. */
function means(claim: string, verb: unknown, argv: readonly string[], expected: object): void {
  test(claim, async () => {
    expect(await parseVerb(verb as AnyVerb, argv)).toMatchObject(expected)
  })
}

/** A row: a claim, the verb, its words, and what the message and the guidance must say. */
function refuses(claim: string, verb: unknown, argv: readonly string[], says: readonly RegExp[]): void {
  test(claim, async () => {
    const error = await parseVerb(verb as AnyVerb, argv).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    const text =
      error instanceof Error
        ? `${error.message}\n${isHoldfastError(error) ? error.guidance : ''}`
        : 'no error'
    for (const words of says) expect(text).toMatch(words)
    if (isHoldfastError(error)) expect(error.code).toBe('InvalidInput')
  })
}

describe('flags that every verb takes', () => {
  means('count before and after the verb', snapshotsVerb, ['-r', '/a', '-v', 'snapshots', '-v', '--json'], {
    repository: { location: '/a' },
    output: { verbose: 2, json: true, quiet: false },
  })
  means('after the verb win over before', snapshotsVerb, ['-r', '/a', 'snapshots', '-r', '/b'], {
    repository: { location: '/b' },
  })
  means('have their defaults', snapshotsVerb, ['snapshots'], {
    repository: {
      location: '/repo',
      password: { kind: 'value', value: 'secret' },
      lock: true,
      retryLockMs: 0,
      compression: 'auto',
      verifyWrites: true,
      packSize: undefined,
      uploadBytesPerSecond: undefined,
    },
  })
  means(
    'carry units',
    backupVerb,
    [
      'backup',
      '--limit-upload',
      '100',
      '--limit-download=50',
      '--pack-size',
      '64',
      '--retry-lock',
      '1h30m',
      '.',
    ],
    {
      repository: {
        uploadBytesPerSecond: 102_400,
        downloadBytesPerSecond: 51_200,
        packSize: 64 * 2 ** 20,
        retryLockMs: 5_400_000,
      },
    },
  )
  means(
    'describe an S3 store',
    initVerb,
    [
      ...[
        'init',
        '-r',
        's3:https://h/b',
        '--s3-region',
        'eu-1',
        '--s3-path-style',
        'on',
        '--s3-ca-file',
        '/ca',
      ],
      ...['--s3-client-cert', '/c', '--s3-client-key', '/k', '--s3-storage-class', 'STANDARD_IA'],
      ...['--s3-object-lock-mode', 'compliance', '--s3-object-lock-days', '30', '--s3-legal-hold'],
    ],
    {
      repository: {
        s3: {
          region: 'eu-1',
          pathStyle: true,
          caFile: '/ca',
          clientCertFile: '/c',
          clientKeyFile: '/k',
          storageClass: 'STANDARD_IA',
          objectLock: { mode: 'COMPLIANCE', days: 30 },
          legalHold: true,
        },
      },
    },
  )
  refuses(
    'with a mistyped mode suggest the right one',
    backupVerb,
    ['backup', '--compression', 'of', '.'],
    [/--compression: found 'of'/, /Did you mean off\?/],
  )
  refuses(
    'with a bad size of packs name the bounds',
    backupVerb,
    ['backup', '--pack-size', '3', '.'],
    [/--pack-size: found '3', expected a whole number from 4 to 128/],
  )
  refuses(
    'that do not exist suggest one that does',
    backupVerb,
    ['backup', '--exlude', 'x', '.'],
    [/unknown option '--exlude'/, /Did you mean --exclude\?/],
  )
  refuses(
    'with half of a pair ask for the other',
    initVerb,
    ['init', '--s3-client-cert', '/c'],
    [/--s3-client-cert was given without --s3-client-key/],
  )
  refuses(
    'with a bad time span say what one looks like',
    unlockVerb,
    ['unlock', '--retry-lock', '5 min'],
    [/--retry-lock: found '5 min'/, /1h30m/],
  )

  test('a missing repository is an error that names the flag', async () => {
    await expect(parseVerb(snapshotsVerb, ['snapshots'], {})).rejects.toThrow(/--repo is missing/)
  })

  test('a password file in the environment that is not in it twice is used', async () => {
    const variables = { RESTIC_REPOSITORY: '/r', RESTIC_PASSWORD_FILE: '/p' }
    expect(await parseVerb(snapshotsVerb, ['snapshots'], variables)).toMatchObject({
      repository: { location: '/r', password: { kind: 'file', path: '/p' } },
    })
  })

  test("one password variable of Holdfast's puts all of restic's out of play", async () => {
    const variables = {
      HOLDFAST_REPOSITORY: '/r',
      HOLDFAST_PASSWORD: 'ours',
      RESTIC_PASSWORD_FILE: '/theirs',
    }
    const { repository } = await parseVerb(snapshotsVerb, ['snapshots'], variables)
    expect(repository.password).toEqual({ kind: 'value', value: 'ours' })
  })

  test('flags for the password win over the environment', async () => {
    const variables = { HOLDFAST_REPOSITORY: '/r', HOLDFAST_PASSWORD: 'ours' }
    const argv = ['snapshots', '--password-command', `pass show 'my backup' a\\ b`]
    const { repository } = await parseVerb(snapshotsVerb, argv, variables)
    expect(repository.password).toEqual({ kind: 'command', command: ['pass', 'show', 'my backup', 'a b'] })
  })

  refuses(
    'for the password on one level contradict each other',
    snapshotsVerb,
    ['snapshots', '-p', 'f', '--password-command', 'c'],
    [/--password-file and --password-command/],
  )

  test('no password at all means to ask', async () => {
    const { repository } = await parseVerb(snapshotsVerb, ['snapshots'], { HOLDFAST_REPOSITORY: '/r' })
    expect(repository.password).toEqual({ kind: 'prompt' })
  })
})

describe('backup', () => {
  means('takes paths and tags', backupVerb, ['backup', '--tag', 'a,b', '--tag', 'c', '/etc', '/home'], {
    source: { kind: 'paths', paths: ['/etc', '/home'] },
    tags: ['a', 'b', 'c'],
    groupBy: { host: true, paths: true, tags: false },
    scan: true,
    dryRun: false,
  })
  means(
    'collects what to leave out',
    backupVerb,
    [
      'backup',
      '-e',
      '*.o',
      '--exclude',
      'x',
      '--iexclude',
      'Y',
      '--exclude-larger-than',
      '2G',
      '--exclude-caches',
      '--exclude-if-present',
      '.nobackup',
      '.',
    ],
    {
      excludes: {
        patterns: ['*.o', 'x'],
        caseless: ['Y'],
        largerThan: 2 ** 31,
        caches: true,
        ifPresent: ['.nobackup'],
      },
    },
  )
  means('takes a stream', backupVerb, ['backup', '--stdin', '--stdin-filename', 'a.sql'], {
    source: { kind: 'stdin', filename: 'a.sql' },
  })
  means(
    'takes a command with flags of its own',
    backupVerb,
    ['backup', '--stdin-from-command', '--', 'pg_dump', '-v', 'shop'],
    {
      source: { kind: 'command', command: ['pg_dump', '-v', 'shop'], filename: 'stdin' },
      output: { verbose: 0 },
    },
  )
  means('takes a time', backupVerb, ['backup', '--time', '2026-11-21T05:30:00Z', '.'], {
    time: Date.UTC(2026, 10, 21, 5, 30),
  })
})

describe('a backup that cannot be meant', () => {
  means('may be rehearsed without a lock', backupVerb, ['backup', '--no-lock', '-n', '.'], { dryRun: true })
  refuses('without a lock is refused', backupVerb, ['backup', '--no-lock', '.'], [/--no-lock/, /writes/])
  refuses('of nothing is refused', backupVerb, ['backup'], [/nothing to back up/])
  refuses(
    'of a stream and files is refused',
    backupVerb,
    ['backup', '--stdin', '/etc'],
    [/--stdin: found '\/etc'/],
  )
  refuses('of no command is refused', backupVerb, ['backup', '--stdin-from-command'], [/found no command/])
  refuses(
    'at an impossible time is refused',
    backupVerb,
    ['backup', '--time', 'yesterday', '.'],
    [/--time: found 'yesterday'/],
  )
  refuses(
    'with an impossible size is refused',
    backupVerb,
    ['backup', '--exclude-larger-than', '2X', '.'],
    [/--exclude-larger-than: found '2X', expected a size/],
  )
})

describe('restore', () => {
  means(
    'takes a part of a snapshot',
    restoreVerb,
    ['restore', 'latest:/etc', '-t', '/tmp/x', '--host', 'web', '-i', '*.conf'],
    {
      snapshot: 'latest:/etc',
      target: '/tmp/x',
      filter: { hosts: ['web'] },
      include: { patterns: ['*.conf'] },
      overwrite: 'always',
    },
  )
  refuses('without a target is refused', restoreVerb, ['restore', 'latest'], [/--target is missing/])
  refuses(
    'without a snapshot is refused',
    restoreVerb,
    ['restore', '-t', 'x'],
    [/missing required argument 'snapshot/],
  )
  refuses(
    'that both includes and excludes is refused',
    restoreVerb,
    ['restore', 'latest', '-t', 'x', '-i', 'a', '-e', 'b'],
    [/--include and --exclude/],
  )
  refuses(
    'that would empty the machine is refused',
    restoreVerb,
    ['restore', 'latest', '-t', '/', '--delete'],
    [/--delete/, /whole machine/],
  )
  refuses(
    'with an unknown policy suggests one',
    restoreVerb,
    ['restore', 'latest', '-t', 'x', '--overwrite', 'if-change'],
    [/Did you mean if-changed\?/],
  )
})

describe('forget', () => {
  means(
    'takes the rules',
    forgetVerb,
    [
      'forget',
      '-l',
      '3',
      '-H',
      '24',
      '--keep-daily',
      'unlimited',
      '--keep-within',
      '1y2m',
      '--keep-tag',
      'a,b',
      '--prune',
      '--max-unused',
      '10%',
    ],
    {
      policy: {
        last: 3,
        hourly: 24,
        daily: -1,
        within: { years: 1, months: 2, days: 0, hours: 0 },
        tags: [['a', 'b']],
      },
      prune: { maxUnused: { percent: 10 } },
      groupBy: { host: true, paths: true, tags: false },
    },
  )
  means('takes snapshots by name', forgetVerb, ['forget', 'abcd', 'ef01'], {
    ids: ['abcd', 'ef01'],
    prune: undefined,
  })
  refuses('without any rule is refused', forgetVerb, ['forget'], [/no policy was given/, /--keep-last/])
  refuses(
    'everything needs a filter too',
    forgetVerb,
    ['forget', '--unsafe-allow-remove-all'],
    [/no policy was given/],
  )
  means(
    'everything of one host can be asked for',
    forgetVerb,
    ['forget', '--unsafe-allow-remove-all', '--host', 'old'],
    {
      allowRemoveAll: true,
      filter: { hosts: ['old'] },
    },
  )
  refuses(
    'with a negative count names the flag',
    forgetVerb,
    ['forget', '--keep-last', '-2'],
    [/--keep-last/],
  )
  refuses(
    'with a bad span names the flag',
    forgetVerb,
    ['forget', '--keep-within-daily', '3w'],
    [/--keep-within-daily: found '3w'/],
  )
})

describe('verbs that keep the repository well', () => {
  means('check reads a part', checkVerb, ['check', '--read-data-subset', '2/7'], { read: { part: 2, of: 7 } })
  means('check reads a share', checkVerb, ['check', '--read-data-subset', '2.5%'], { read: { percent: 2.5 } })
  means('check reads an amount', checkVerb, ['check', '--read-data-subset', '10G'], {
    read: { bytes: 10 * 2 ** 30 },
  })
  means('check does not trust the cache unless told', checkVerb, ['check', '--cache-dir', '/c'], {
    read: 'none',
    repository: { cacheDirectory: undefined },
  })
  refuses(
    'check refuses a part that is not there',
    checkVerb,
    ['check', '--read-data-subset', '8/7'],
    [/--read-data-subset: found '8\/7'/],
  )
  means('prune takes amounts', pruneVerb, ['prune', '--max-unused', '200M', '--max-repack-size', '5g'], {
    choices: { maxUnused: { bytes: 200 * 2 ** 20 }, maxRepackBytes: 5 * 2 ** 30 },
  })
  refuses(
    'prune refuses a share over 100',
    pruneVerb,
    ['prune', '--max-unused', '101%'],
    [/--max-unused: found '101%'/],
  )
})

describe('verbs that look', () => {
  means('ls sorts by time of change', lsVerb, ['ls', 'latest', '/etc', '--sort', 'time'], {
    sort: 'mtime',
    directories: ['/etc'],
  })
  refuses(
    'ls wants absolute directories',
    lsVerb,
    ['ls', 'latest', 'etc'],
    [/found directory 'etc'/, /Did you mean \/etc\?/],
  )
  means('find takes times', findVerb, ['find', '*.yml', '-O', '2026-01-02T00:00:00Z', '-i'], {
    patterns: ['*.yml'],
    kind: 'name',
    ignoreCase: true,
    oldest: Date.UTC(2026, 0, 2),
  })
  refuses('find looks for one kind', findVerb, ['find', '--blob', '--tree', 'ab'], [/--blob and --tree/])
  means('diff takes two', diffVerb, ['diff', 'a:/x', 'b'], { from: 'a:/x', to: 'b', metadata: false })
  refuses('diff of one is refused', diffVerb, ['diff', 'a'], [/missing required argument/])
  means('dump takes a file', dumpVerb, ['dump', 'latest', '/etc/hosts'], {
    file: '/etc/hosts',
    target: undefined,
  })
  means('stats counts raw data', statsVerb, ['stats', '--mode', 'raw-data', 'latest'], {
    mode: 'raw-data',
    ids: ['latest'],
  })
  refuses('stats suggests a mode', statsVerb, ['stats', '--mode', 'rawdata'], [/Did you mean raw-data\?/])
})

describe('verbs that change', () => {
  means('tag sets', tagVerb, ['tag', '--set', 'a,b', 'x'], { set: ['a', 'b'], ids: ['x'] })
  means('tag takes all tags away', tagVerb, ['tag', '--set', ''], { set: [] })
  refuses('tag does one or the other', tagVerb, ['tag', '--set', 'a', '--add', 'b'], [/--set beside --add/])
  refuses('tag without a change is refused', tagVerb, ['tag', 'x'], [/--set, --add and --remove/])
  means(
    'copy has two repositories',
    copyVerb,
    ['copy', '--from-repo', '/old', '--from-password-file', '/op'],
    {
      repository: { location: '/repo' },
      from: { location: '/old', password: { kind: 'file', path: '/op' } },
    },
  )
  refuses('copy needs a source', copyVerb, ['copy'], [/--from-repo is missing/])
  means('init takes a version', initVerb, ['init', '--repository-version', '1'], {
    version: 1,
    copyParametersFrom: undefined,
  })
  means('key add asks for the new password', keyAddVerb, ['key', 'add', '--host', 'h'], {
    newPassword: { kind: 'prompt' },
    host: 'h',
  })
  means('key remove takes an id', keyRemoveVerb, ['key', 'remove', 'abcd'], { id: 'abcd' })
  means('cat takes an id', catVerb, ['cat', 'snapshot', 'abcd'], { kind: 'snapshot', id: 'abcd' })
  refuses('cat needs an id', catVerb, ['cat', 'snapshot'], [/cat snapshot: found no id/])
  refuses('cat suggests a kind', catVerb, ['cat', 'confg'], [/Did you mean config\?/])
  refuses('list suggests a kind', listVerb, ['list', 'snapshot'], [/Did you mean snapshots\?/])
  refuses(
    'repair packs wants full ids',
    repairPacksVerb,
    ['repair', 'packs', 'abc'],
    [/found 'abc', expected the full id/],
  )
})
