/** Small repositories made once by restic 0.14, and what a correct reader finds in them. See README.md. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Manifest, ManifestEntry } from '../tree-manifest.ts'

export type GoldenVersion = 1 | 2

export interface GoldenSnapshot {
  readonly time: string
  readonly tags: readonly string[]
  /** Without the root: its own attributes are not in the snapshot. */
  readonly manifest: Manifest
}

export interface Golden {
  readonly password: string
  /** Oldest first. */
  readonly snapshots: readonly GoldenSnapshot[]
}

/**
 * Writes the golden repository of that format version into `directory`, which may exist but must be empty,
 * and tells what is in it.
 */
export function writeGolden(directory: string, version: GoldenVersion = 2): Golden {
  const { password, repositories } = readGoldenJson()
  const repository = repositories[version]
  for (const [path, content] of Object.entries(repository.files)) {
    const to = join(directory, path)
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, Buffer.from(content, 'base64'), { flag: 'wx' })
  }
  for (const folder of ['data', 'index', 'keys', 'locks', 'snapshots']) {
    mkdirSync(join(directory, folder), { recursive: true })
  }
  return { password, snapshots: repository.snapshots.map(readSnapshot) }
}

interface StoredGolden {
  readonly password: string
  readonly repositories: Readonly<Record<GoldenVersion, StoredRepository>>
}

interface StoredRepository {
  readonly snapshots: readonly StoredGoldenSnapshot[]
  /** Path in the repository to base64 of the file. */
  readonly files: Readonly<Record<string, string>>
}

interface StoredGoldenSnapshot {
  readonly time: string
  readonly tags: readonly string[]
  readonly entries: Readonly<Record<string, StoredEntry>>
}

type StoredEntry = Omit<ManifestEntry, 'mtimeNs' | 'device'> & {
  readonly mtimeNs: string
  readonly device: string
}

function readGoldenJson(): StoredGolden {
  return JSON.parse(readFileSync(new URL('./golden.json', import.meta.url), 'utf8')) as StoredGolden
}

function readSnapshot({ time, tags, entries }: StoredGoldenSnapshot): GoldenSnapshot {
  const manifest = new Map<string, ManifestEntry>()
  for (const [path, entry] of Object.entries(entries)) {
    manifest.set(path, { ...entry, mtimeNs: BigInt(entry.mtimeNs), device: BigInt(entry.device) })
  }
  return { time, tags, manifest }
}
