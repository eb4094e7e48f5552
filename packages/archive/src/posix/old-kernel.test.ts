import fs from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bindContainedCalls } from './contained-calls.ts'
import { bindEntryCalls } from './entry-calls.ts'
import { type Libc, openLibc } from './libc.ts'
import { scratchDirectory } from './scratch-directory.testing.ts'

const directory = scratchDirectory('old-kernel')
const NEWER_CALLS = [437, 452]

/** The real library on a kernel that answers `errno` to openat2 and fchmodat2. */
function libcWithout(errno: number): Libc {
  const libc = openLibc()
  let refused = false
  return {
    ...libc,
    errno: () => {
      const answer = refused ? errno : libc.errno()
      refused = false
      return answer
    },
    syscall: (...args) => {
      refused = NEWER_CALLS.includes(args[0])
      return refused ? -1 : libc.syscall(...args)
    },
    syscallOnMemory: (...args) => {
      refused = NEWER_CALLS.includes(args[0])
      return refused ? -1 : libc.syscallOnMemory(...args)
    },
  }
}

test.each([
  ['ENOSYS', 38],
  ['EPERM', 1],
] as const)('where newer calls answer %s, opening and chmod are contained all the same', (name, errno) => {
  const libc = libcWithout(errno)
  const entries = bindEntryCalls(libc)
  const contained = bindContainedCalls(libc, entries)
  const at = join(directory, name)
  fs.mkdirSync(join(at, 'a/b'), { recursive: true })
  fs.mkdirSync(join(at, 'outside'))
  fs.writeFileSync(join(at, 'outside/file'), 'outside', { mode: 0o600 })
  fs.symlinkSync('../outside', join(at, 'a/link'))
  fs.symlinkSync('../outside/file', join(at, 'a/file-link'))
  const fd = fs.openSync(join(at, 'a'), fs.constants.O_DIRECTORY)
  const open = fs.readdirSync('/proc/self/fd').length
  for (let round = 0; round < 3; round++) {
    const made = contained.openBeneath(
      fd,
      Buffer.from(`b/${round}`),
      fs.constants.O_CREAT | fs.constants.O_WRONLY,
      0o600,
    )
    fs.closeSync(made)
    expect(() => contained.openBeneath(fd, Buffer.from('link/file'), fs.constants.O_RDONLY)).toThrow(
      /ENOTDIR|ELOOP/,
    )
    expect(() => contained.openBeneath(fd, Buffer.from('b/none/x'), fs.constants.O_RDONLY)).toThrow(/ENOENT/)
    entries.fchmodat(fd, Buffer.from('b'), 0o750 + round)
    expect(fs.statSync(join(at, 'a/b')).mode & 0o7777).toBe(0o750 + round)
    expect(() => entries.fchmodat(fd, Buffer.from('file-link'), 0o777)).toThrow(/ENOTSUP/)
  }
  expect(fs.readdirSync(join(at, 'a/b'))).toEqual(['0', '1', '2'])
  expect(fs.statSync(join(at, 'outside/file')).mode & 0o7777).toBe(0o600)
  expect(fs.readdirSync('/proc/self/fd').length).toBe(open)
  fs.closeSync(fd)
})
