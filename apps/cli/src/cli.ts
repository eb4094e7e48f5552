import type { Readable } from 'node:stream'
import type { Environment } from './environment.ts'
import type { Screen } from './terminal/screen.ts'

/** What a command may touch besides the repository. Made once by `main`, replaced as a whole in tests. */
export interface Cli {
  readonly environment: Environment
  readonly screen: Screen
  readonly input: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown }
  /** Aborts on Ctrl-C, SIGTERM, and when whoever reads the output goes away. */
  readonly signal: AbortSignal
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly version: string
}
