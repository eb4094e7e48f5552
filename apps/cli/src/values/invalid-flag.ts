import { HoldfastError } from '@holdfast/contract'

/** The error for a flag whose value is not usable: names the flag, what was given and what was expected. */
export function invalidFlag(
  flag: string,
  given: string,
  expected: string,
  suggestion?: string,
): HoldfastError {
  const guidance = suggestion === undefined ? `Give ${flag} ${expected}.` : `Did you mean ${suggestion}?`
  return new HoldfastError('InvalidInput', `${flag}: found '${given}', expected ${expected}`, { guidance })
}
