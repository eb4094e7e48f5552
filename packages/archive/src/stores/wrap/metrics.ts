import { isHoldfastError } from '@holdfast/contract'
import type { BlobStore, FileType, ListedFile } from '../blob-store.ts'
import { wrapStore } from './wrap-store.ts'

/** The operations that are counted. */
export type StoreOperation = 'create' | 'save' | 'load' | 'stat' | 'list' | 'remove'

/** One call that ended. */
export interface StoreCall {
  readonly operation: StoreOperation
  readonly type: FileType | undefined
  /** Bytes of content moved; 0 for a failed call. */
  readonly bytes: number
  readonly ms: number
  /** The error's code, or undefined for a success. */
  readonly failed: string | undefined
}

/** What one operation has cost so far. */
export interface OperationTotals {
  readonly calls: number
  readonly failures: number
  readonly bytes: number
  /** Sum over calls: more than the wall time when calls overlap. */
  readonly ms: number
  readonly longestMs: number
}

/** Options of the metrics wrapper. */
export interface MetricsOptions {
  readonly now?: () => number
  /** Hears every call as it ends. */
  readonly onCall?: (call: StoreCall) => void
}

/** A store that counts. */
export interface MeteredStore extends BlobStore {
  totals(): Readonly<Record<StoreOperation, OperationTotals>>
}

/** Counts calls, failures, bytes and time by operation. A listing counts as one call, without the time its reader takes. */
export function withMetrics(store: BlobStore, options: MetricsOptions = {}): MeteredStore {
  const now = options.now ?? (() => performance.now())
  const totals: Record<StoreOperation, OperationTotals> = {
    create: none,
    save: none,
    load: none,
    stat: none,
    list: none,
    remove: none,
  }
  const count = (call: StoreCall): void => {
    totals[call.operation] = add(totals[call.operation], call)
    options.onCall?.(call)
  }
  const timed = async <T>(
    operation: StoreOperation,
    type: FileType | undefined,
    work: () => Promise<{ readonly value: T; readonly bytes: number }>,
  ): Promise<T> => {
    const start = now()
    try {
      const { value, bytes } = await work()
      count({ operation, type, bytes, ms: now() - start, failed: undefined })
      return value
    } catch (error) {
      count({ operation, type, bytes: 0, ms: now() - start, failed: codeOf(error) })
      throw error
    }
  }
  const plain = (
    operation: StoreOperation,
    type: FileType | undefined,
    work: () => Promise<void>,
    bytes = 0,
  ): Promise<void> => timed(operation, type, async () => ({ value: await work(), bytes }))
  const wrapped = wrapStore(store, {
    create: () => plain('create', undefined, () => store.create()),
    save: (file, body) => plain('save', file.type, () => store.save(file, body), body.length),
    load: (file, range) =>
      timed('load', file.type, async () => {
        const value = await store.load(file, range)
        return { value, bytes: value.length }
      }),
    stat: (file) => timed('stat', file.type, async () => ({ value: await store.stat(file), bytes: 0 })),
    list: (type) => meteredList(store, type, { now, count }),
    remove: (file) => plain('remove', file.type, () => store.remove(file)),
  })
  return { ...wrapped, totals: () => ({ ...totals }) }
}

async function* meteredList(
  store: BlobStore,
  type: FileType,
  meter: { readonly now: () => number; readonly count: (call: StoreCall) => void },
): AsyncIterable<ListedFile> {
  let ms = 0
  let failed: string | undefined
  const rows = store.list(type)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const start = meter.now()
      const row = await rows.next().finally(() => {
        ms += meter.now() - start
      })
      if (row.done === true) return
      yield row.value
    }
  } catch (error) {
    failed = codeOf(error)
    throw error
  } finally {
    await rows.return?.()
    meter.count({ operation: 'list', type, bytes: 0, ms, failed })
  }
}

const none: OperationTotals = { calls: 0, failures: 0, bytes: 0, ms: 0, longestMs: 0 }

function add(sum: OperationTotals, call: StoreCall): OperationTotals {
  return {
    calls: sum.calls + 1,
    failures: sum.failures + (call.failed === undefined ? 0 : 1),
    bytes: sum.bytes + call.bytes,
    ms: sum.ms + call.ms,
    longestMs: Math.max(sum.longestMs, call.ms),
  }
}

function codeOf(error: unknown): string {
  return isHoldfastError(error) ? error.code : 'Internal'
}
