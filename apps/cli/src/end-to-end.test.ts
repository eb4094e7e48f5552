import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCheapRepository } from '../../../tests/cheap-repository.ts'

const bin = fileURLToPath(new URL('../bin/holdfast.js', import.meta.url))
const password = 'correct horse'
let dir = ''
let repo = ''

interface Run {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

function environment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { PATH, HOME } = process.env
  return { PATH, HOME, HOLDFAST_REPOSITORY: repo, HOLDFAST_PASSWORD: password, ...extra }
}

function holdfast(args: readonly string[], extra: Readonly<Record<string, string>> = {}, input = ''): Run {
  const run = spawnSync(process.execPath, [bin, ...args], {
    cwd: dir,
    env: environment(extra),
    input,
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status: run.status, stdout: run.stdout, stderr: run.stderr }
}

function archive(args: readonly string[], extra: Readonly<Record<string, string>> = {}, input = ''): Run {
  return holdfast(['archive', ...args], extra, input)
}

function succeeds(args: readonly string[], extra: Readonly<Record<string, string>> = {}, input = ''): string {
  const run = archive(args, extra, input)
  if (run.status !== 0)
    throw new Error(`${args.join(' ')} ended with ${run.status}\n${run.stdout}\n${run.stderr}`)
  return run.stdout
}

function lastJson(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(text.trim().split('\n').at(-1) ?? '') as Record<string, unknown>
}

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-cli-'))
  repo = join(dir, 'repo')
  mkdirSync(join(dir, 'src/sub'), { recursive: true })
  writeFileSync(join(dir, 'src/a.txt'), 'first\n')
  writeFileSync(join(dir, 'src/sub/b.bin'), Buffer.alloc(200_000, 7))
  makeCheapRepository(repo, { password })
  succeeds(['backup', 'src', '--tag', 'one'])
  writeFileSync(join(dir, 'src/a.txt'), 'second\n')
  succeeds(['backup', 'src', '--tag', 'two'])
})

afterAll(() => rmSync(dir, { recursive: true, force: true }))

describe('a life', () => {
  test('what was backed up comes back, the newest by default and any other by its id', () => {
    succeeds(['restore', 'latest', '--target', join(dir, 'new'), '--verify'])
    expect(readFileSync(join(dir, 'new/src/a.txt'), 'utf8')).toBe('second\n')
    expect(readFileSync(join(dir, 'new/src/sub/b.bin'))).toEqual(Buffer.alloc(200_000, 7))
    const [first] = JSON.parse(succeeds(['snapshots', '--json'])) as { readonly id: string }[]
    succeeds([
      'restore',
      `${first?.id.slice(0, 10)}:/src`,
      '--target',
      join(dir, 'old'),
      '--include',
      'a.txt',
    ])
    expect(readFileSync(join(dir, 'old/a.txt'), 'utf8')).toBe('first\n')
    expect(readdirSync(join(dir, 'old'))).toEqual(['a.txt'])
  })

  test('a rehearsed restore says what it would do and does nothing', () => {
    const out = succeeds(['restore', 'latest', '--target', join(dir, 'never'), '--dry-run', '-vv'])
    expect(out).toContain('/src/a.txt')
    expect(out).toContain('Would restore')
    expect(existsSync(join(dir, 'never'))).toBe(false)
  })

  test('a command that is backed up never sees the password of the repository', () => {
    const seen = ['backup', '--stdin-filename', 'env.txt', '--stdin-from-command', '--', 'env']
    expect(
      archive(seen, { RESTIC_PASSWORD: 'x', HOLDFAST_FROM_PASSWORD: 'y', PGPASSWORD: 'kept' }).status,
    ).toBe(0)
    const { stdout } = archive(['dump', 'latest', '/env.txt'])
    expect(stdout).toContain('PGPASSWORD=kept')
    expect(stdout).not.toMatch(/HOLDFAST_(FROM_)?PASSWORD|RESTIC_PASSWORD/)
  })

  test('files cut by length share every piece that a change in place left alone', () => {
    const path = join(dir, 'table.db')
    const table = randomBytes(4 * 1024 * 1024)
    writeFileSync(path, table)
    const backup = ['backup', '--json', '--fixed-chunks', '128K', path]
    expect(archive(backup).status).toBe(0)
    table.writeUInt8(table.readUInt8(1_000_000) ^ 1, 1_000_000)
    writeFileSync(path, table)
    const lines = archive(backup).stdout.trim().split('\n')
    const { data_blobs: dataBlobs } = JSON.parse(lines.at(-1) ?? '{}') as { data_blobs?: number }
    expect(dataBlobs).toBe(1)
    expect(archive(['backup', '--fixed-chunks', '1K', path]).stderr).toContain('a size from 64K to 8M')
  })

  test('a stream from standard input and one from a command become files', () => {
    succeeds(['backup', '--stdin', '--stdin-filename', 'in.txt', '--tag', 'stream'], {}, 'from stdin')
    expect(succeeds(['dump', 'latest', '/in.txt', '--tag', 'stream'])).toBe('from stdin')
    succeeds([
      'backup',
      '--stdin-from-command',
      '--stdin-filename',
      'c.txt',
      '--tag',
      'command',
      '--',
      'printf',
      '%s',
      '-v',
    ])
    expect(succeeds(['dump', 'latest', 'c.txt', '--tag', 'command'])).toBe('-v')
  })

  test('a command that fails makes no snapshot and says what it said', () => {
    const before = succeeds(['list', 'snapshots'])
    const run = archive([
      'backup',
      '--stdin-from-command',
      '--',
      'sh',
      '-c',
      'echo half; echo broken pipe >&2; exit 3',
    ])
    expect(run.status).toBe(1)
    expect(run.stderr).toMatch(/exit code 3/)
    expect(run.stderr).toMatch(/broken pipe/)
    expect(succeeds(['list', 'snapshots'])).toBe(before)
  })

  test('files to back up can come from lists', () => {
    writeFileSync(join(dir, 'list'), '# a comment\nsrc/*.txt\n')
    const summary = lastJson(succeeds(['backup', '--json', '--files-from', 'list', '--tag', 'listed']))
    expect(summary).toMatchObject({ message_type: 'summary', total_files_processed: 1 })
  })

  test('what is excluded is not stored', () => {
    const out = succeeds(['backup', 'src', '--exclude', '*.bin', '--tag', 'part', '--json'])
    expect(lastJson(out)).toMatchObject({ total_files_processed: 1 })
    expect(succeeds(['ls', 'latest', '--tag', 'part'])).not.toContain('b.bin')
  })

  test('a name at the source that is not there makes the snapshot incomplete: exit 3', () => {
    const run = archive(['backup', '--json', 'src', 'nowhere'])
    expect(run.status).toBe(3)
    expect(lastJson(run.stdout)).toMatchObject({ message_type: 'summary' })
    expect(lastJson(run.stderr)).toMatchObject({ message_type: 'exit_error', code: 3 })
    expect(archive(['backup', 'nowhere']).status).toBe(1)
  })

  test('a directory comes out as a tar archive', () => {
    const tar = spawnSync('tar', ['-t'], { input: spawnDump(), encoding: 'utf8' })
    expect(tar.stdout.split('\n')).toContain('src/sub/b.bin')
  })

  test('snapshots that no rule keeps are forgotten, and their data pruned; the rest still restores', () => {
    const out = succeeds([
      'forget',
      '--tag',
      'one',
      '--tag',
      'two',
      '--keep-last',
      '1',
      '--prune',
      '--max-unused',
      '0',
    ])
    expect(out).toContain('last snapshot')
    expect(out).toContain('removed 1 snapshots')
    expect(succeeds(['check', '--read-data'])).toContain('no errors were found')
    expect(succeeds(['dump', 'latest', '/src/a.txt', '--tag', 'two'])).toBe('second\n')
  })

  test('a second password opens the repository until it is removed', () => {
    writeFileSync(join(dir, 'second'), 'battery staple\n')
    succeeds(['key', 'add', '--new-password-file', 'second'])
    const second = { HOLDFAST_PASSWORD: 'battery staple' }
    const keys = JSON.parse(succeeds(['key', 'list', '--json'], second)) as {
      readonly id: string
      readonly current: boolean
    }[]
    expect(keys.filter(({ current }) => current)).toHaveLength(1)
    expect(keys).toHaveLength(2)
    succeeds(['key', 'remove', keys.find(({ current }) => current)?.id ?? ''])
    expect(archive(['snapshots'], second).status).toBe(12)
  })

  test('snapshots are copied once, and restore from the copy', () => {
    const target = {
      HOLDFAST_REPOSITORY: join(dir, 'copy'),
      HOLDFAST_FROM_REPOSITORY: repo,
      HOLDFAST_FROM_PASSWORD: password,
    }
    succeeds(['init', '--copy-chunker-params'], target)
    const first = lastJson(succeeds(['copy', '--json', '--tag', 'two'], target))
    expect(first).toMatchObject({ copied: [{}], skipped: [] })
    expect(lastJson(succeeds(['copy', '--json', '--tag', 'two'], target))).toMatchObject({
      copied: [],
      skipped: [{}],
    })
    expect(succeeds(['dump', 'latest', '/src/a.txt'], target)).toBe('second\n')
  })
})

function spawnDump(): Buffer {
  return spawnSync(process.execPath, [bin, 'archive', 'dump', 'latest', '/src', '--tag', 'two'], {
    cwd: dir,
    env: environment({}),
  }).stdout
}

describe('mistakes', () => {
  test('a wrong password is exit 12, a repository that is not there exit 10, with one clear error each', () => {
    const wrong = archive(['snapshots'], { HOLDFAST_PASSWORD: 'wrong' })
    expect(wrong.status).toBe(12)
    expect(wrong.stderr).toMatch(/^holdfast: /)
    const absent = archive(['snapshots', '--json', '-r', join(dir, 'absent')])
    expect(absent.status).toBe(10)
    expect(lastJson(absent.stderr)).toMatchObject({
      message_type: 'exit_error',
      code: 10,
      error: 'RepositoryNotFound',
    })
  })

  test('an existing repository is not made again', () => {
    const run = archive(['init'])
    expect(run.status).toBe(1)
    expect(run.stderr).toMatch(/^holdfast: there is a repository/)
  })

  test('a locked repository is exit 11, and unlock --remove-all opens it again', () => {
    const holder = startStream()
    return withStarted(holder, async () => {
      const run = archive(['prune'])
      expect(run.status).toBe(11)
      expect(run.stderr).toMatch(/locked/)
      succeeds(['unlock', '--remove-all'])
      succeeds(['prune', '--dry-run'])
    })
  })

  test('without a terminal nobody is asked for a password', () => {
    const run = archive(['snapshots'], { HOLDFAST_PASSWORD: '' })
    expect(run.status).toBe(1)
    expect(run.stderr).toMatch(/--password-file/)
  })

  test('a snapshot that is not there is an error with its name, and no stack trace', () => {
    const run = archive(['restore', 'abcdef12', '--target', 'x'])
    expect(run.status).toBe(1)
    expect(run.stderr).toContain('abcdef12')
    expect(run.stderr).not.toMatch(/^\s+at .*\.js:\d+/m)
  })

  test('a mistyped verb or flag suggests the right one', () => {
    expect(archive(['bakcup']).stderr).toMatch(/unknown command 'bakcup'[^]*Did you mean backup\?/)
    const run = archive(['snapshots', '--jsno'])
    expect(run.status).toBe(1)
    expect(run.stderr).toMatch(/unknown option '--jsno'[^]*Did you mean --json\?/)
  })

  test('help and version are no errors, and the help of each verb says its exit statuses', () => {
    expect(holdfast(['--version']).stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/)
    const help = archive(['backup', '--help'])
    expect(help.status).toBe(0)
    expect(help.stdout).toMatch(/Exit status:[^]*\n {2}3 [^]*\n {2}130/)
    expect(holdfast(['--help']).stdout).toContain('archive')
  })
})

describe('ends in the middle', () => {
  test('an interrupted backup lets go of its lock and ends with 130', () => {
    const child = startStream()
    return withStarted(child, async () => {
      child.kill('SIGINT')
      const [code] = (await once(child, 'exit')) as [number | null]
      expect(code).toBe(130)
      expect(readdirSync(join(repo, 'locks'))).toEqual([])
    })
  })

  test('a reader that goes away ends the command quietly', () => {
    const run = spawnSync('sh', ['-c', `"${process.execPath}" "${bin}" archive list blobs | head -n 1`], {
      cwd: dir,
      env: environment({}),
      encoding: 'utf8',
    })
    expect(run.stdout).toMatch(/^(data|tree) [0-9a-f]{64}\n$/)
    expect(run.stderr).toBe('')
  })
})

/** A backup that holds its lock for as long as its standard input stays open. */
function startStream(): ChildProcess {
  return spawn(process.execPath, [bin, 'archive', 'backup', '--stdin', '--tag', 'held'], {
    cwd: dir,
    env: environment({}),
    stdio: ['pipe', 'ignore', 'pipe'],
  })
}

async function withStarted(child: ChildProcess, body: () => Promise<void>): Promise<void> {
  try {
    while (readdirSync(join(repo, 'locks')).length === 0 && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await body()
  } finally {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit')
      child.stdin?.end()
      await gone
    }
  }
}
