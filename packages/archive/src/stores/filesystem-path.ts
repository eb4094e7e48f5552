import { join } from 'node:path'
import type { FileName } from './blob-store.ts'
import { layoutPath } from './layout.ts'

/** Where a file of the repository in `directory` lives: `config`, `keys/<id>`, `data/xx/<id>`. */
export function filesystemPath(directory: string, file: FileName): string {
  return join(directory, layoutPath(file))
}
