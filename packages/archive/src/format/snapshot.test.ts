import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { snapshot } from './samples.testing.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'

const ID = 'ab'.repeat(32)
const decode = (text: string) => decodeSnapshot(Buffer.from(text), 'snapshots/x')

describe('snapshots', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(snapshot, (one) => {
        expect(decodeSnapshot(encodeSnapshot(one), 'snapshot')).toEqual(one)
      }),
      { numRuns: 300 },
    )
  })

  it('leave out what Go leaves out', () => {
    const text = `{"time":"2024-05-06T07:08:09Z","tree":"${ID}","paths":["/a\\u0026b"]}`
    expect(encodeSnapshot(decode(text)).toString()).toBe(text)
  })

  it('write every member in restic’s order', () => {
    const text =
      `{"time":"2024-05-06T07:08:09.5+02:00","parent":"${ID}","tree":"${ID}","paths":["/a","/b"],"hostname":"h",` +
      `"username":"u","uid":1,"gid":2,"excludes":["*.x"],"tags":["t"],"original":"${ID}","program_version":"restic 0.19.1",` +
      '"summary":{"backup_start":"2024-05-06T07:08:09Z","backup_end":"2024-05-06T07:08:10Z","files_new":1,' +
      '"files_changed":2,"files_unmodified":3,"dirs_new":4,"dirs_changed":5,"dirs_unmodified":6,"data_blobs":7,' +
      '"tree_blobs":8,"data_added":9,"data_added_packed":10,"total_files_processed":11,"total_bytes_processed":12}}'
    expect(encodeSnapshot(decode(text)).toString()).toBe(text)
  })

  it('write no id that a stored one carries', () => {
    const stored = { ...decode(`{"time":"2024-05-06T07:08:09Z","tree":"${ID}","paths":[]}`), id: ID }
    expect(encodeSnapshot(stored).toString()).not.toContain('"id"')
  })

  it.each([
    ['no tree', '{"time":"2024-05-06T07:08:09Z","paths":[]}', 'Damaged', '#/tree'],
    ['a bad time', `{"time":"now","tree":"${ID}","paths":[]}`, 'Damaged', '#/time'],
    ['a bad parent', `{"tree":"${ID}","paths":[],"parent":"1"}`, 'Damaged', '#/parent'],
    ['paths that are no list', `{"tree":"${ID}","paths":"/"}`, 'Damaged', '#/paths'],
    ['a path that is no text', `{"tree":"${ID}","paths":["/",1]}`, 'Damaged', '#/paths/1'],
    ['a bad summary', `{"tree":"${ID}","paths":[],"summary":[]}`, 'Damaged', '#/summary'],
    [
      'a count below 0',
      `{"tree":"${ID}","paths":[],"summary":{"files_new":-1}}`,
      'Damaged',
      '#/summary/files_new',
    ],
    [
      'a count past 2^53',
      `{"tree":"${ID}","paths":[],"summary":{"data_added":18446744073709551615}}`,
      'LimitExceeded',
      '#/summary/data_added',
    ],
  ])('with %s are refused with the place', (_what, text, code, pointer) => {
    expect(() => decode(text)).toThrow(expect.objectContaining({ code, place: `snapshots/x${pointer}` }))
  })
})
