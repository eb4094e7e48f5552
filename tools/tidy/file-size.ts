import type { Finding } from './finding.ts'
import { isTest, type Workspace } from './workspace.ts'

const sourceLinesMax = 500
const testLinesMax = 800
const fileBytesMax = 256 * 1024
const unlimited = new Set(['package-lock.json'])

/** Files stay small enough to be read: source 500 lines, tests 800, anything 256 KiB. */
export function fileSize(workspace: Workspace): readonly Finding[] {
  const finding = (path: string, message: string): Finding => ({ rule: 'file-size', path, line: 1, message })
  const heavy = workspace.files.filter(({ path, size }) => size > fileBytesMax && !unlimited.has(path))
  const long = workspace.sources.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1
    const most = isTest(path) ? testLinesMax : sourceLinesMax
    return lines > most
      ? [finding(path, `has ${lines} lines, more than ${most}: find the second concept in it`)]
      : []
  })
  return [
    ...heavy.map(({ path, size }) => finding(path, `has ${size} bytes, more than ${fileBytesMax}`)),
    ...long,
  ]
}
