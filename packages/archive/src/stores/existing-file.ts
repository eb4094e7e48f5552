import { HoldfastError } from '@holdfast/contract'
import type { FileName } from './blob-store.ts'
import { layoutPath } from './layout.ts'

/**
 * What a save into an existing name means, the same in every store: an error for `config`, nothing to
 * do for content of the same size, and damage for any other size, because the name is the content's hash.
 */
export function settleExisting(
  file: FileName,
  existingSize: number,
  newSize: number,
  location: string,
): void {
  if (file.type === 'config') {
    throw new HoldfastError('RepositoryExists', `There is a repository at ${location} already.`, {
      place: layoutPath(file),
      guidance: 'Use it as it is, or choose another location for the new repository.',
    })
  }
  if (existingSize === newSize) return
  throw new HoldfastError(
    'Damaged',
    `A file of this name exists with ${existingSize} bytes, ${newSize} were to be written; the name is the hash of the content.`,
    { place: layoutPath(file), guidance: 'The existing file is damaged: run check, then repair.' },
  )
}

/** The file asked for is not there. `why` is a sentence that says how far the search got. */
export function notFound(file: FileName, why: string): HoldfastError {
  const guidance =
    file.type === 'config'
      ? 'Check the location, or make a repository there with init.'
      : 'Run check: something refers to a file that is gone.'
  return new HoldfastError('NotFound', why, { place: layoutPath(file), guidance })
}
