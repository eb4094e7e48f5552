import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { HoldfastError } from '@holdfast/contract'
import type { Cli } from '../../cli.ts'
import type { PasswordVariables } from '../../environment.ts'
import { promptHidden } from '../../terminal/prompt-hidden.ts'
import { splitWords } from '../../values/split-words.ts'

/** Where a password comes from. There is no default, and no flag that carries the password itself. */
export type PasswordSource =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'command'; readonly command: readonly string[] }
  | { readonly kind: 'prompt' }

export interface PasswordFlagValues {
  readonly file: string | undefined
  readonly command: string | undefined
  /** `--password` or `--from-password`: what the flags' names begin with. */
  readonly stem: string
}

/** Flags win over the environment; two sources on the same level are a contradiction. Pure. */
export function parsePasswordSource(flags: PasswordFlagValues, variables: PasswordVariables): PasswordSource {
  const { stem } = flags
  refuseTwo([
    [`${stem}-file`, flags.file],
    [`${stem}-command`, flags.command],
  ])
  if (flags.file !== undefined) return { kind: 'file', path: flags.file }
  if (flags.command !== undefined)
    return { kind: 'command', command: splitWords(flags.command, `${stem}-command`) }
  refuseTwo([
    [`${variables.prefix}_FILE`, variables.file],
    [`${variables.prefix}_COMMAND`, variables.command],
  ])
  if (variables.command !== undefined) {
    return { kind: 'command', command: splitWords(variables.command, `${variables.prefix}_COMMAND`) }
  }
  if (variables.file !== undefined) return { kind: 'file', path: variables.file }
  if (variables.value !== undefined) return { kind: 'value', value: variables.value }
  return { kind: 'prompt' }
}

export interface PromptWords {
  /** What is asked for: `password for repository`. */
  readonly what: string
  /** Asks twice and compares, for a password that is being set. */
  readonly twice: boolean
}

/** Fetches the password. Blanks and line ends around what a file or a command gives are not part of it. */
export async function readPassword(source: PasswordSource, cli: Cli, words: PromptWords): Promise<string> {
  const password = await fetchPassword(source, cli, words)
  if (password !== '') return password
  throw new HoldfastError('InvalidInput', 'found an empty password', {
    guidance:
      'Give a password of at least one character; Holdfast does not make repositories that anyone can read.',
  })
}

async function fetchPassword(source: PasswordSource, cli: Cli, words: PromptWords): Promise<string> {
  if (source.kind === 'value') return source.value
  if (source.kind === 'file') return await readPasswordFile(source.path)
  if (source.kind === 'command') return await runPasswordCommand(source.command, cli.signal)
  return await askForPassword(cli, words)
}

async function readPasswordFile(path: string): Promise<string> {
  try {
    const text = await readFile(path, 'utf8')
    return text.replace(/^\uFEFF/, '').trim()
  } catch (cause) {
    throw new HoldfastError('InvalidInput', `the password file cannot be read: ${(cause as Error).message}`, {
      place: path,
      guidance: 'Check the path and its permissions.',
      cause,
    })
  }
}

async function runPasswordCommand(command: readonly string[], signal: AbortSignal): Promise<string> {
  const [program = '', ...words] = command
  try {
    const { stdout } = await promisify(execFile)(program, words, { signal, maxBuffer: 64 * 1024 })
    return stdout.trim()
  } catch (cause) {
    // The message of a failed child repeats its arguments, which may hold secrets; its exit code says enough.
    const { code } = cause as { readonly code?: string | number }
    throw new HoldfastError('CommandFailed', `the password command failed (${code ?? 'no exit code'})`, {
      place: program,
      guidance: 'Run the command by hand to see why; it must print the password and exit with 0.',
    })
  }
}

async function askForPassword(cli: Cli, words: PromptWords): Promise<string> {
  if (cli.input.isTTY !== true) {
    throw new HoldfastError(
      'InvalidInput',
      `no ${words.what} was given, and there is no terminal to ask on`,
      {
        guidance: 'Give --password-file or --password-command, or set HOLDFAST_PASSWORD.',
      },
    )
  }
  const first = await promptHidden(cli, `enter ${words.what}: `)
  if (words.twice && (await promptHidden(cli, 'enter it again: ')) !== first) {
    throw new HoldfastError('InvalidInput', 'the two passwords are not the same', { guidance: 'Try again.' })
  }
  return first
}

function refuseTwo(sources: readonly (readonly [string, string | undefined])[]): void {
  const given = sources.filter(([, value]) => value !== undefined).map(([name]) => name)
  if (given.length < 2) return
  throw new HoldfastError(
    'InvalidInput',
    `found ${given.join(' and ')}, expected one source for the password`,
    {
      guidance: 'Leave all but one out.',
    },
  )
}
