/**
 * What a running operation tells its caller. Values only: whoever listens decides how to show them.
 * Byte counts are bytes, times are milliseconds.
 */
export type ProgressEvent =
  | ProgressStatus
  /** One item was dealt with: `new`, `modified`, `unchanged`, `restored`, `deleted`, ... */
  | { readonly kind: 'item'; readonly action: string; readonly path: string; readonly bytes: number }
  /** One item failed; the operation goes on. `during` names the step: `scan`, `archival`, `restore`, ... */
  | { readonly kind: 'error'; readonly path: string; readonly during: string; readonly message: string }
  /** Something worth a line that is not an error: a file changed while it was read, a retry, ... */
  | { readonly kind: 'note'; readonly message: string }

export interface ProgressStatus {
  readonly kind: 'status'
  /** What is being done now, in one or two words; a new phase starts its counts anew. */
  readonly phase: string
  readonly filesDone: number
  /** Undefined while the total is not known. */
  readonly filesTotal?: number
  readonly bytesDone: number
  readonly bytesTotal?: number
  /** Packs, snapshots, trees or whatever the phase counts besides files. */
  readonly unitsDone?: number
  readonly unitsTotal?: number
  readonly errors?: number
  readonly currentFiles?: readonly string[]
}

/** Receives events in order; must not throw and must return fast. */
export type ProgressSink = (event: ProgressEvent) => void
