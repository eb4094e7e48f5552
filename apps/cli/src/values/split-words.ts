import { HoldfastError } from '@holdfast/contract'

/** A quoted part, an escaped character, blanks between words, or anything else. */
const piece = /'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|(\s+)|([^])/g

/**
 * Splits a command line into words: blanks separate, single and double quotes group, a backslash
 * takes the next character as it is (not inside single quotes). No shell runs, nothing is expanded.
 */
export function splitWords(line: string, flag: string): readonly string[] {
  const words: string[] = []
  let word: string | undefined
  for (const [, single, double, escaped, blanks, other] of line.matchAll(piece)) {
    if (blanks !== undefined) {
      if (word !== undefined) words.push(word)
      word = undefined
      continue
    }
    if (other === "'" || other === '"') {
      throw new HoldfastError('InvalidInput', `${flag}: found an opening ${other} without its closing one`, {
        guidance: 'Close the quote, or escape it with a backslash.',
      })
    }
    word = (word ?? '') + (single ?? double?.replace(/\\([^])/g, '$1') ?? escaped ?? other ?? '')
  }
  if (word !== undefined) words.push(word)
  if (words.length > 0) return words
  throw new HoldfastError(
    'InvalidInput',
    `${flag}: found an empty command, expected a program and its arguments`,
    { guidance: 'Name the program to run.' },
  )
}
