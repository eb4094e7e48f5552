import { closestWord } from './closest-word.ts'
import { invalidFlag } from './invalid-flag.ts'

/** A parser for a flag that takes one of a few words. */
export function choice<T extends string>(flag: string, words: readonly T[]): (given: string) => T {
  return (given) => {
    const found = words.find((word) => word === given)
    if (found !== undefined) return found
    throw invalidFlag(flag, given, `one of ${words.join(', ')}`, closestWord(given, words))
  }
}
