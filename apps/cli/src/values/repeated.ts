/** A commander parser that collects every use of a flag into one list. */
export function repeated<T>(
  parse: (given: string) => T,
): (given: string, before: readonly T[] | undefined) => readonly T[] {
  return (given, before) => [...(before ?? []), parse(given)]
}

/** The same for plain text. */
export const repeatedText = repeated((given) => given)
