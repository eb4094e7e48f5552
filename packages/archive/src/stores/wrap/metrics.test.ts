import { expect, it } from 'vitest'
import { failureOf, someFile, storeMustBehave } from '../conformance.testing.ts'
import { collect } from '../doubles.testing.ts'
import { openMemoryStore } from '../memory.ts'
import { type StoreCall, withMetrics } from './metrics.ts'

storeMustBehave('metrics over memory', async () => ({ store: withMetrics(openMemoryStore()) }))

it('counts calls, failures, bytes and time by operation, and tells of each call', async () => {
  let now = 0
  const calls: StoreCall[] = []
  const store = withMetrics(openMemoryStore(), { now: () => (now += 5), onCall: (call) => calls.push(call) })
  const { file, body } = someFile('pack', 100)
  await store.save(file, body)
  await store.load(file, { offset: 0, length: 30 })
  expect(await failureOf(store.load(someFile('pack', 1).file))).toBe('NotFound')
  await collect(store.list('pack'))
  const totals = store.totals()
  expect(totals.save).toEqual({ calls: 1, failures: 0, bytes: 100, ms: 5, longestMs: 5 })
  expect(totals.load).toEqual({ calls: 2, failures: 1, bytes: 30, ms: 10, longestMs: 5 })
  expect(totals.list).toEqual({ calls: 1, failures: 0, bytes: 0, ms: 10, longestMs: 10 })
  expect(calls.map((call) => [call.operation, call.type, call.failed])).toEqual([
    ['save', 'pack', undefined],
    ['load', 'pack', undefined],
    ['load', 'pack', 'NotFound'],
    ['list', 'pack', undefined],
  ])
})

it('a listing left early counts, and closes the listing below', async () => {
  const store = withMetrics(openMemoryStore())
  for (const { file, body } of [someFile('key', 1), someFile('key', 2)]) await store.save(file, body)
  for await (const _ of store.list('key')) break
  expect(store.totals().list.calls).toBe(1)
})
