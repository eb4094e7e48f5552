import { globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { nameFromBytes, type ProgressSink } from '@holdfast/archive'
import { HoldfastError } from '@holdfast/contract'
import type { Cli } from '../../cli.ts'

export interface FileLists {
  readonly filesFrom: readonly string[]
  readonly filesFromVerbatim: readonly string[]
  readonly filesFromRaw: readonly string[]
}

/** The paths that the lists name, in the order given. `-` reads a list from standard input. */
export async function readFileLists(
  lists: FileLists,
  context: { readonly cli: Cli; readonly report: ProgressSink },
): Promise<readonly string[]> {
  const read = async (file: string): Promise<Buffer> =>
    file === '-' ? await readAll(context.cli) : await readList(file)
  const paths: string[] = []
  for (const file of lists.filesFrom) {
    for (const pattern of patternLines(await read(file))) {
      const found = expandPattern(pattern)
      if (found.length === 0)
        context.report({
          kind: 'note',
          message: `pattern '${pattern}' in ${file} matches no file, skipping it`,
        })
      paths.push(...found)
    }
  }
  for (const file of lists.filesFromVerbatim) paths.push(...verbatimLines(await read(file)))
  for (const file of lists.filesFromRaw) paths.push(...rawNames(await read(file), file))
  return paths
}

/** Lines without the blanks around them; empty ones and those with # in front are left out. Pure. */
export function patternLines(bytes: Buffer): readonly string[] {
  return verbatimLines(bytes)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** Every line that is not empty, as it is. Pure. */
export function verbatimLines(bytes: Buffer): readonly string[] {
  return nameFromBytes(bytes)
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => line !== '')
}

/** Names ended by NUL each, in any encoding. InvalidInput for an empty name, or text after the last NUL. Pure. */
export function rawNames(bytes: Buffer, file: string): readonly string[] {
  if (bytes.length === 0) return []
  const names = nameFromBytes(bytes).split('\0')
  const rest = names.pop()
  if (rest === '' && !names.includes('')) return names
  throw new HoldfastError(
    'InvalidInput',
    `--files-from-raw: found ${rest === '' ? 'an empty name' : 'no NUL at the end'}, expected names ended by NUL`,
    {
      place: file,
      guidance: 'Make the list with find -print0 or the like.',
    },
  )
}

function expandPattern(pattern: string): readonly string[] {
  if (!/[*?[]/.test(pattern)) return [pattern]
  return globSync(pattern).toSorted()
}

async function readList(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    throw new HoldfastError('InvalidInput', `the list of files cannot be read: ${(cause as Error).message}`, {
      place: file,
      cause,
    })
  }
}

async function readAll(cli: Cli): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of cli.input) parts.push(Buffer.from(part as Uint8Array))
  return Buffer.concat(parts)
}
