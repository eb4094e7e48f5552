import { createHash } from 'node:crypto'
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Everything a restore must bring back about each path below `root`, as one comparable line per path. `root` itself
 * is the target the user names, whose own attributes a restore leaves alone, as restic does.
 */
export function readManifest(root: string): ReadonlyMap<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).toSorted()
  return new Map(paths.map((path) => [path, describe(join(root, path))]))
}

/** Paths whose line differs, or that only one side has. */
export function differences(
  wanted: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): readonly string[] {
  const paths = new Set([...wanted.keys(), ...found.keys()])
  return [...paths].filter((path) => wanted.get(path) !== found.get(path))
}

function describe(path: string): string {
  const status = lstatSync(path, { bigint: true })
  const who = `${status.uid}:${status.gid} ${status.mode.toString(8)} ${status.mtimeNs}`
  if (status.isSymbolicLink()) return `${who} -> ${readlinkSync(path)}`
  if (status.isDirectory()) return `${who} directory`
  return `${who} ${status.nlink} links ${status.size} bytes ${hashFile(path)}`
}

function hashFile(path: string): string {
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafe(1024 * 1024)
  const file = openSync(path, 'r')
  try {
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece))
      hash.update(piece.subarray(0, read))
  } finally {
    closeSync(file)
  }
  return hash.digest('hex')
}
