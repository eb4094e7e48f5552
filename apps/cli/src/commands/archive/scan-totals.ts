import { lstatSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { nameFromBytes, nameToBytes, type Selection } from '@holdfast/archive'

/** Regular files only, as the progress counts them. */
export interface Totals {
  readonly files: number
  readonly bytes: number
}

export interface ScanOptions {
  readonly paths: readonly string[]
  readonly selection: Selection
  readonly signal: AbortSignal
}

const entriesPerTurn = 200

/**
 * Adds up what a backup will read, beside it, in small turns. The returned function says the totals
 * once they are complete. What cannot be read is passed over: the backup itself reports it.
 */
export function startScan(options: ScanOptions): () => Totals | undefined {
  let totals: Totals | undefined
  void scan(options).then((found) => {
    totals = found
  })
  return () => totals
}

async function scan({ paths, selection, signal }: ScanOptions): Promise<Totals | undefined> {
  let files = 0
  let bytes = 0
  let entries = 0
  const pending = paths.map((path) => ({ path: resolve(path), device: undefined as number | undefined }))
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (++entries % entriesPerTurn === 0) await nextTurn()
    if (signal.aborted) return undefined
    const stat = tryRead(() => lstatSync(nameToBytes(next.path)))
    if (stat === undefined) continue
    if (!stat.isDirectory()) {
      if (stat.isFile()) {
        files++
        bytes += stat.size
      }
      continue
    }
    if (selection.oneFileSystem && next.device !== undefined && next.device !== stat.dev) continue
    const inside = next.path === '/' ? '/' : `${next.path}/`
    for (const { name } of selection.select(next.path, listEntries(next.path))) {
      pending.push({ path: inside + name, device: next.device ?? stat.dev })
    }
  }
  return { files, bytes }
}

function listEntries(path: string): readonly { readonly name: string; readonly kind: 'd' | 'f' | '?' }[] {
  const entries =
    tryRead(() => readdirSync(nameToBytes(path), { withFileTypes: true, encoding: 'buffer' })) ?? []
  return entries.map((entry) => ({
    name: nameFromBytes(entry.name),
    kind: entry.isDirectory() ? 'd' : entry.isFile() ? 'f' : '?',
  }))
}

function tryRead<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
