import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeWorkspace, type TrackedFile, type Workspace } from './workspace.ts'

/** Everything git has, or would add, under `root`. */
export function readWorkspace(root: string): Workspace {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  })
  const paths = listed.split('\0').filter((path) => path !== '' && existsSync(join(root, path)))
  return makeWorkspace([...new Set(paths)].map((path) => readTracked(root, path)))
}

function readTracked(root: string, path: string): TrackedFile {
  const status = lstatSync(join(root, path))
  if (!status.isFile()) return { path, size: status.size, text: '' }
  const bytes = readFileSync(join(root, path))
  return { path, size: bytes.length, text: bytes.includes(0) ? undefined : bytes.toString('utf8') }
}
