import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ArchiveTool,
  holdfastTool,
  resticTool,
  runTool,
  type ToolRun,
} from '../../../tests/archive-tool.ts'
import { makeCheapRepository } from '../../../tests/cheap-repository.ts'
import { findPeer } from '../../../tests/peers.ts'

const peer = findPeer('restic-new')
let dir = ''
let repo = ''
let first = ''
let second = ''

/** Members that only we print. Everything else must be restic's, and all of restic's must be there. */
const ours: Readonly<Record<string, readonly string[]>> = { exit_error: ['error', 'place', 'guidance'] }
/** Members that either tool leaves out when they are zero, so that one run may have them and another not. */
const optional = new Set([
  'seconds_elapsed',
  'seconds_remaining',
  'parent',
  'original',
  'errors',
  'current_files',
  'total_files',
  'files_done',
  'total_bytes',
  'bytes_done',
])

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-json-'))
  repo = join(dir, 'repo')
  mkdirSync(join(dir, 'tree/sub'), { recursive: true })
  writeFileSync(join(dir, 'tree/a.txt'), 'first')
  writeFileSync(join(dir, 'tree/sub/zeros'), Buffer.alloc(500_000))
  symlinkSync('a.txt', join(dir, 'tree/link'))
  makeCheapRepository(repo)
  if (peer === undefined) return
  first = snapshotId(run(resticTool(peer), ['backup', '--json', 'tree', '--tag', 'x,y', '--exclude', 'none']))
  writeFileSync(join(dir, 'tree/a.txt'), 'second')
  second = snapshotId(run(resticTool(peer), ['backup', '--json', 'tree']))
})

afterAll(() => rmSync(dir, { recursive: true, force: true }))

function run(tool: ArchiveTool, args: readonly string[]): ToolRun {
  return runTool(tool, { repo, cwd: dir }, args)
}

function snapshotId({ stdout }: ToolRun): string {
  return (JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { readonly snapshot_id: string }).snapshot_id
}

/** For each kind of message in a text the members it has, those of objects within it as `outer.inner`. */
function shapes(text: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, Set<string>>()
  const documents = text.startsWith('{\n') ? [text] : text.split('\n').filter((line) => /^[[{]/.test(line))
  for (const document of documents) {
    const value = JSON.parse(document) as unknown
    for (const message of Array.isArray(value) ? value : [value]) {
      const { message_type: type = 'array' } = message as { readonly message_type?: string }
      const members = found.get(type) ?? new Set<string>()
      collect(message, '', members)
      found.set(type, members)
    }
  }
  // A status comes when it comes; a fast run has none.
  found.delete('status')
  const relevant = (type: string, name: string): boolean =>
    !optional.has(name) && ours[type]?.includes(name) !== true
  return new Map(
    [...found].map(([type, names]) => [
      type,
      [...names].filter((name) => relevant(type, name)).toSorted((a, b) => (a < b ? -1 : 1)),
    ]),
  )
}

function collect(value: unknown, prefix: string, into: Set<string>): void {
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    if (optional.has(name)) continue
    into.add(prefix + name)
    if (Array.isArray(member)) for (const each of member) collect(each, `${prefix}${name}.`, into)
    else collect(member, `${prefix}${name}.`, into)
  }
}

describe.skipIf(peer === undefined)('JSON has the members that restic gives it', () => {
  const rows: [string, (target: string) => readonly string[]][] = [
    ['snapshots', () => ['snapshots']],
    ['snapshots in groups', () => ['snapshots', '--group-by', 'host,paths']],
    ['ls', () => ['ls', 'latest']],
    ['find by name', () => ['find', 'a.txt']],
    ['find that finds nothing', () => ['find', 'nothing']],
    [
      'find by blob',
      () => ['find', '--blob', 'a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e'],
    ],
    ['diff', () => ['diff', first, second]],
    ['stats by size', () => ['stats', '--mode', 'restore-size']],
    ['stats by contents', () => ['stats', '--mode', 'files-by-contents']],
    ['stats by blobs', () => ['stats', '--mode', 'blobs-per-file']],
    ['stats of raw data', () => ['stats', '--mode', 'raw-data']],
    ['check', () => ['check']],
    ['key list', () => ['key', 'list']],
    ['cat config', () => ['cat', 'config']],
    ['forget', () => ['forget', '--keep-last', '1', '--dry-run']],
    ['restore', (target) => ['restore', 'latest', '--target', target]],
    ['restore with -vv', (target) => ['restore', 'latest', '--target', target, '-vv']],
    ['backup', () => ['backup', 'tree']],
    ['backup with -vv', () => ['backup', 'tree', '-vv']],
    ['tag', (target) => ['tag', '--add', target, 'latest']],
  ]
  test.each(rows)('%s', (_name, args) => {
    if (peer === undefined) return
    const [theirs, ourRun] = [resticTool(peer), holdfastTool()].map((tool, side) =>
      run(tool, [...args(join(dir, `out-${side}`)), '--json']),
    )
    expect(ourRun?.status).toBe(theirs?.status)
    expect(shapes(ourRun?.stdout ?? '')).toEqual(shapes(theirs?.stdout ?? ''))
    expect(shapes(ourRun?.stderr ?? '')).toEqual(shapes(theirs?.stderr ?? ''))
  })

  test.each([
    ['no repository', ['snapshots', '-r', '/nonexistent/repo'], {}],
    ['a wrong password', ['snapshots'], { RESTIC_PASSWORD: 'no', HOLDFAST_PASSWORD: 'no' }],
    ['no such snapshot', ['ls', 'deadbeef'], {}],
  ])('the last message on standard error and the exit status for %s', (_name, args, env) => {
    if (peer === undefined) return
    const [theirs, ourRun] = [resticTool(peer), holdfastTool()].map((tool) =>
      runTool(tool, { repo, cwd: dir, env }, [...args, '--json']),
    )
    expect(ourRun?.status).toBe(theirs?.status)
    expect(shapes(ourRun?.stderr ?? '')).toEqual(shapes(theirs?.stderr ?? ''))
    const code = (text: string | undefined): unknown =>
      (JSON.parse(text?.trim().split('\n').at(-1) ?? '') as { readonly code: unknown }).code
    expect(code(ourRun?.stderr)).toBe(code(theirs?.stderr))
  })
})
