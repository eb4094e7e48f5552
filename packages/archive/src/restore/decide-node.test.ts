import { expect, test } from 'vitest'
import { decideFile, type Existing } from './decide-node.ts'

const wanted = { size: 10, mtimeNs: 1_000_000_001n, links: 1 }
const same: Existing = { type: 'file', size: 10, mtimeNs: 1_000_000_001n, links: 1 }

test('where nothing is, every policy creates', () => {
  for (const policy of ['always', 'if-changed', 'if-newer', 'never'] as const) {
    expect(decideFile(wanted, undefined, policy)).toBe('create')
  }
})

test('if-changed trusts size and time to the nanosecond, always reads the bytes', () => {
  expect(decideFile(wanted, same, 'if-changed')).toBe('unchanged')
  expect(decideFile(wanted, { ...same, mtimeNs: 1_000_000_000n }, 'if-changed')).toBe('compare')
  expect(decideFile(wanted, { ...same, size: 11 }, 'if-changed')).toBe('compare')
  expect(decideFile(wanted, same, 'always')).toBe('compare')
})

test('if-newer replaces only what is older than the snapshot', () => {
  expect(decideFile(wanted, { ...same, mtimeNs: 1_000_000_000n }, 'if-newer')).toBe('compare')
  expect(decideFile(wanted, same, 'if-newer')).toBe('skip')
  expect(decideFile(wanted, { ...same, mtimeNs: 2_000_000_000n }, 'if-newer')).toBe('skip')
})

test('never leaves anything that exists, whatever its type', () => {
  for (const type of ['file', 'dir', 'other'] as const) {
    expect(decideFile(wanted, { ...same, type }, 'never')).toBe('skip')
  }
})

test('a file with a second name is replaced, never written into, unless the snapshot has links too', () => {
  expect(decideFile(wanted, { ...same, links: 2 }, 'always')).toBe('replace')
  expect(decideFile(wanted, { ...same, links: 2 }, 'if-changed')).toBe('replace')
  expect(decideFile({ ...wanted, links: 2 }, { ...same, links: 2 }, 'if-changed')).toBe('unchanged')
})

test('a symlink or device in the way of a file is replaced', () => {
  expect(decideFile(wanted, { ...same, type: 'other' }, 'always')).toBe('replace')
})
