import { HoldfastError } from '@holdfast/contract'
import { type ExitStatus, exitStatusOf } from '../exit-codes.ts'
import { jsonLine } from './json-line.ts'

/** An error as three lines at most: what, where, and what to do. Pure. */
export function formatError(error: HoldfastError): readonly string[] {
  const lines = [`holdfast: ${error.message}`]
  if (error.place !== undefined) lines.push(`  at ${error.place}`)
  if (error.guidance !== undefined) lines.push(`  ${error.guidance}`)
  return lines
}

/** restic's last message on standard error, with the code word, the place and the guidance beside. Pure. */
export function errorAsJson(error: HoldfastError): string {
  return jsonLine({
    message_type: 'exit_error',
    code: exitStatusOf[error.code],
    message: error.message,
    error: error.code,
    place: error.place,
    guidance: error.guidance,
  })
}

/** The message of a command that ended with something undone, for --json. */
export function statusAsJson(code: ExitStatus, message: string): string {
  return jsonLine({ message_type: 'exit_error', code, message })
}

/** Whatever was thrown, as an error with a code: what is not ours already is a fault of ours. */
export function toHoldfastError(thrown: unknown, signal: AbortSignal): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown
  if (signal.aborted) {
    return signal.reason instanceof HoldfastError
      ? signal.reason
      : new HoldfastError('Cancelled', 'stopped on request', { cause: thrown })
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new HoldfastError('Internal', `an unexpected error: ${message}`, {
    guidance:
      'This is a fault in Holdfast. Run the same command with HOLDFAST_DEBUG=1 and report what it prints.',
    cause: thrown,
  })
}
