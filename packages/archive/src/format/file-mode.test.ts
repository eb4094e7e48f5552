import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { goModeFromStat, statModeFromGo } from './file-mode.ts'

describe('goModeFromStat', () => {
  // As a stock restic stores them.
  it.each([
    [0o100644, 'file', 0o644],
    [0o104755, 'file', 8389101],
    [0o102755, 'file', 4194797],
    [0o107777, 'file', 13631999],
    [0o040755, 'dir', 2147484141],
    [0o120777, 'symlink', 134218239],
    [0o010644, 'fifo', 33554852],
    [0o020600, 'chardev', 69206400],
    [0o060660, 'dev', 67109296],
    [0o140755, 'socket', 16777709],
  ] as const)('turns %o into a %s with restic’s mode', (mode, type, goMode) => {
    expect(goModeFromStat(mode)).toEqual({ type, mode: goMode })
  })

  it('calls a kind nobody knows irregular', () => {
    expect(goModeFromStat(0o170644).type).toBe('irregular')
  })

  it('keeps the twelve bits of chmod through statModeFromGo', () => {
    const kinds = fc.constantFrom(0o010000, 0o020000, 0o040000, 0o060000, 0o100000, 0o120000, 0o140000)
    fc.assert(
      fc.property(kinds, fc.integer({ min: 0, max: 0o7777 }), (kind, bits) => {
        return statModeFromGo(goModeFromStat(kind | bits).mode) === bits
      }),
    )
  })
})
