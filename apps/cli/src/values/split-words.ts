import { HoldfastError } from '@holdfast/contract'

/**
 * Splits a command line into words: blanks separate, single and double quotes group, a backslash
 * takes the next character as it is (not inside single quotes). No shell runs, nothing is expanded.
 */
export function splitWords(line: string, flag: string): readonly string[] {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let i = 0; i < line.length; i++) {
    const character = line.charAt(i)
    if (quote !== '' && character === quote) quote = ''
    else if (character === '\\' && quote !== "'" && i + 1 < line.length)
      word = (word ?? '') + line.charAt(++i)
    else if (quote === '' && (character === '"' || character === "'")) {
      quote = character
      word ??= ''
    } else if (quote === '' && /\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else word = (word ?? '') + character
  }
  if (quote !== '') {
    throw new HoldfastError('InvalidInput', `${flag}: found an opening ${quote} without its closing one`, {
      guidance: 'Close the quote, or escape it with a backslash.',
    })
  }
  if (word !== undefined) words.push(word)
  if (words.length === 0) {
    throw new HoldfastError(
      'InvalidInput',
      `${flag}: found an empty command, expected a program and its arguments`,
    )
  }
  return words
}
