import { utimesSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openAccounts } from './accounts.ts'
import { openDirectoryService } from './directory-service.ts'
import { scratchDirectory } from './scratch-directory.testing.ts'

const directory = scratchDirectory('accounts')
const passwdPath = join(directory, 'passwd')
const groupPath = join(directory, 'group')

function accountsOf(passwd: string, group = '') {
  writeFileSync(passwdPath, passwd)
  writeFileSync(groupPath, group)
  let time = 0
  const accounts = openAccounts({ passwdPath, groupPath, now: () => time, directoryService: false })
  return { ...accounts, pass: (ms: number) => (time += ms) }
}

test('names and ids are found both ways, the first line winning; unknown ones are empty', () => {
  const accounts = accountsOf(
    'root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh',
    'root:x:0:\nstaff:x:50:ann,bob\n',
  )
  expect([accounts.userName(0), accounts.userName(1000), accounts.userName(7)]).toEqual(['root', 'ann', ''])
  expect([accounts.userId('toor'), accounts.userId('ann'), accounts.userId('bob')]).toEqual([
    0,
    1000,
    undefined,
  ])
  expect([accounts.groupName(50), accounts.groupName(1000)]).toEqual(['staff', ''])
  expect([accounts.groupId('staff'), accounts.groupId('')]).toEqual([50, undefined])
})

test('lines that are no accounts are passed over', () => {
  const accounts = accountsOf(
    '# comment\n\n+nis:x:5:5::/:\nbroken\nneg:x:-1:0::/:\n:x:6:6::/:\nlast:x:9:9::/:',
  )
  expect(accounts.userName(5)).toBe('')
  expect(accounts.userName(6)).toBe('')
  expect(accounts.userId('neg')).toBeUndefined()
  expect(accounts.userName(9)).toBe('last')
})

test('a changed file is read again, at most a second later', () => {
  const accounts = accountsOf('ann:x:1000:1000::/:/bin/sh\n')
  expect(accounts.userName(1001)).toBe('')
  writeFileSync(passwdPath, 'eve:x:1001:1001::/:/bin/sh\n')
  utimesSync(passwdPath, 1, 1)
  expect(accounts.userName(1000)).toBe('ann')
  accounts.pass(1000)
  expect(accounts.userName(1001)).toBe('eve')
  expect(accounts.userName(1000)).toBe('')
})

test('files that do not exist have no accounts', () => {
  const accounts = openAccounts({
    passwdPath: join(directory, 'none'),
    groupPath: join(directory, 'none'),
    directoryService: false,
  })
  expect(accounts.userName(0)).toBe('')
  expect(accounts.groupId('root')).toBeUndefined()
})

test('what the files lack is asked of the C library', () => {
  const { uid, gid, username } = userInfo()
  const none = join(directory, 'none')
  const accounts = openAccounts({ passwdPath: none, groupPath: none })
  expect(accounts.userName(uid)).toBe(username)
  expect(accounts.userId(username)).toBe(uid)
  expect(accounts.groupId(accounts.groupName(gid))).toBe(gid)
  expect(accounts.userName(3_999_999_999)).toBe('')
  expect(accounts.userId('no such account')).toBeUndefined()
})

test('the C library agrees with the files of this machine', () => {
  const service = openDirectoryService()
  const files = openAccounts({ directoryService: false })
  expect(service?.users.name(0)).toBe(files.userName(0))
  expect(service?.groups.id('daemon')).toBe(files.groupId('daemon'))
})
