const waits = new WeakMap<Error, number>()

/** Notes on an error how long the server asked us to wait, in ms (`Retry-After`). Returns the error. */
export function noteRetryAfter<E extends Error>(error: E, ms: number | undefined): E {
  if (ms !== undefined) waits.set(error, ms)
  return error
}

/** The wait the server asked for, in ms, if it said. */
export function retryAfterOf(error: unknown): number | undefined {
  return error instanceof Error ? waits.get(error) : undefined
}

/** Reads a `Retry-After` header: seconds, or an HTTP date relative to `now` (ms since the epoch). Undefined if it is neither. */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  const text = header.trim()
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
