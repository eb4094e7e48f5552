import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

/** A directory of the calling test file's own, removed when its tests are done. */
export function scratchDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `holdfast-${name}-`))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
