import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { escapeControls } from './quote-name.ts'

type TerminalStream = Writable & { readonly isTTY?: boolean; readonly columns?: number }

/**
 * Standard output and standard error as one thing, because on a terminal they are: the live status
 * at the bottom is taken away before a line is printed on either, and drawn again with the next one.
 * Lines lose their control characters on the way: names of files come from anywhere.
 */
export interface Screen {
  /** Whether a live status can be shown. */
  readonly isLive: boolean
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean
  readonly colour: boolean
  /** Columns of the terminal that standard output or the status goes to; undefined for a pipe or a file. */
  outputWidth(): number | undefined
  statusWidth(): number
  /** One line of result, to standard output. Gathered; call `drained` now and then when there are many. */
  print(line: string): void
  /** One line about the work, to standard error. */
  warn(line: string): void
  /** Text without a line end, to standard error: a prompt. */
  ask(text: string): void
  /** Bytes of a result, to standard output. Resolves when more are welcome. */
  write(bytes: Uint8Array): Promise<void>
  /** Replaces the live status; no lines takes it away. Does nothing where there is no terminal. */
  setStatus(lines: readonly string[]): void
  /** Resolves when everything printed was handed to the operating system. */
  drained(): Promise<void>
}

const gatherBytes = 64 * 1024

export interface ScreenOptions {
  readonly output: TerminalStream
  readonly errors: TerminalStream
  readonly colour: boolean
  /** Called once when the reader of either stream is gone (EPIPE), or writing fails otherwise. */
  readonly onBroken: (error: Error) => void
}

/** Takes over both streams; print through the screen only from then on. */
export function openScreen({ output, errors, colour, onBroken }: ScreenOptions): Screen {
  let gathered = ''
  let status: readonly string[] = []
  let broken = false
  for (const stream of [output, errors]) {
    stream.on('error', (error: Error) => {
      if (!broken) onBroken(error)
      broken = true
    })
  }

  const flush = (): void => {
    if (gathered !== '' && !broken) output.write(gathered)
    gathered = ''
  }
  const eraseStatus = (): void => {
    if (status.length > 0) errors.write(`\r\x1b[2K${'\x1b[1A\x1b[2K'.repeat(status.length - 1)}`)
    status = []
  }
  const isLive = errors.isTTY === true
  const sharesTerminal = isLive && output.isTTY === true

  return {
    isLive,
    isTerminal: output.isTTY === true,
    colour: colour && isLive,
    outputWidth: () => (output.isTTY === true ? (output.columns ?? 80) : undefined),
    statusWidth: () => errors.columns ?? 80,
    print: (line) => {
      if (sharesTerminal) eraseStatus()
      gathered += `${escapeControls(line)}\n`
      if (sharesTerminal || gathered.length >= gatherBytes) flush()
    },
    warn: (line) => {
      flush()
      eraseStatus()
      if (!broken) errors.write(`${escapeControls(line)}\n`)
    },
    ask: (text) => {
      flush()
      eraseStatus()
      errors.write(text)
    },
    write: async (bytes) => {
      flush()
      if (!broken && !output.write(bytes)) await settled(output)
    },
    setStatus: (lines) => {
      if (!isLive || broken) return
      eraseStatus()
      status = lines
      if (lines.length > 0) errors.write(lines.join('\n'))
    },
    drained: async () => {
      flush()
      await Promise.all([output, errors].map((stream) => emptied(stream)))
    },
  }
}

async function settled(stream: TerminalStream): Promise<void> {
  while (stream.writableNeedDrain && !stream.destroyed && stream.errored === null) {
    await Promise.race([once(stream, 'drain'), once(stream, 'close')]).catch(() => undefined)
  }
}

/** Resolves when the stream has handed over all it was given, or cannot. */
async function emptied(stream: TerminalStream): Promise<void> {
  if (stream.destroyed || stream.errored !== null) return
  await new Promise<void>((resolve) => {
    stream.once('close', resolve)
    stream.write('', () => resolve())
  })
}
