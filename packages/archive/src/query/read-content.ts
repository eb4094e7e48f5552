import type { Hex } from '../format/ids.ts'
import type { Repository } from '../repository/repository.ts'

/** Bytes fetched ahead of the reader. */
const AHEAD_BYTES = 32 * 1024 * 1024

/**
 * A file's content in order, blob by blob, each verified by its hash. Fetches as many blobs ahead as
 * the store has connections, at most 32 MiB of them. Throws at the first blob that cannot be had.
 */
export async function* readContent(
  repository: Repository,
  content: readonly Hex[],
): AsyncGenerator<Buffer, void, undefined> {
  const { store, index } = repository
  const ahead: { readonly bytes: number; readonly blob: Promise<Buffer> }[] = []
  let next = 0
  let held = 0
  const fill = (): void => {
    while (
      next < content.length &&
      ahead.length < store.connections &&
      (held < AHEAD_BYTES || ahead.length === 0)
    ) {
      const id = content[next++] ?? ''
      const bytes = index.plainLength('data', id) ?? 0
      const blob = repository.loadBlob('data', id)
      // looked at when it is its turn; until then a failure is nobody's
      blob.catch(() => undefined)
      ahead.push({ bytes, blob })
      held += bytes
    }
  }
  for (fill(); ahead.length > 0; fill()) {
    const first = ahead.shift()
    if (first === undefined) return
    yield await first.blob
    held -= first.bytes
  }
}
