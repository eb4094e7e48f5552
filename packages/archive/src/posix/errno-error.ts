import { getSystemErrorMap } from 'node:util'

/** What a system call failed on, for the error's text and fields. */
export interface FailedCall {
  readonly syscall: string
  readonly path?: Uint8Array
  /** The second path of a call that has two (`link`, `rename`). */
  readonly dest?: Uint8Array
  /** Names for error numbers that libuv does not know. */
  readonly errnoNames?: ReadonlyMap<number, string>
}

/**
 * An error of the shape node:fs throws, so that callers need not know who made the call: `code` is the symbol
 * (`EPERM`; 95 is `ENOTSUP` as in Node), `errno` the negative number, `syscall`, `path` and `dest` as given.
 */
export function errnoError(errno: number, call: FailedCall): NodeJS.ErrnoException {
  const [code, text] = describe(errno, call.errnoNames)
  const path = call.path === undefined ? undefined : printable(call.path)
  const dest = call.dest === undefined ? undefined : printable(call.dest)
  const where = `${path === undefined ? '' : ` '${path}'`}${dest === undefined ? '' : ` -> '${dest}'`}`
  const error = new Error(`${code}: ${text}, ${call.syscall}${where}`)
  return Object.assign(error, {
    errno: -errno,
    code,
    syscall: call.syscall,
    ...(path === undefined ? {} : { path }),
    ...(dest === undefined ? {} : { dest }),
  })
}

let known: Map<number, [string, string]> | undefined

function describe(
  errno: number,
  names: ReadonlyMap<number, string> | undefined,
): readonly [code: string, text: string] {
  known ??= getSystemErrorMap()
  const fromNode = known.get(-errno)
  if (fromNode !== undefined) return fromNode
  return [names?.get(errno) ?? `E${errno}`, `system error ${errno}`]
}

function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
