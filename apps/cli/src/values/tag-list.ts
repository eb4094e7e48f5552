/** `a,b` as a list; each flag value is one list, all of whose tags must be there. `''` means: no tags at all. */
export function tagList(given: string): readonly string[] {
  return given.split(',').map((tag) => tag.trim())
}
