/** What to do where something already exists. restic's words. */
export type Overwrite = 'always' | 'if-changed' | 'if-newer' | 'never'

/** What stands in the target under a node's name. Times in nanoseconds since 1970. */
export interface Existing {
  readonly type: 'file' | 'dir' | 'other'
  readonly size: number
  readonly mtimeNs: bigint
  /** Number of names this inode has. */
  readonly links: number
}

/** What a snapshot says about one file. */
export interface WantedFile {
  readonly size: number
  readonly mtimeNs: bigint
  readonly links: number
}

/**
 * - `create`: nothing is there.
 * - `replace`: what is there must go first, because writing into it would reach another file.
 * - `compare`: a regular file is there; keep the blobs that match, write the others.
 * - `unchanged`: its content is taken as right by size and time; only metadata is set.
 * - `skip`: leave it alone altogether.
 */
export type FileDecision = 'create' | 'replace' | 'compare' | 'unchanged' | 'skip'

/** Decides about one regular file. Pure. */
export function decideFile(
  wanted: WantedFile,
  existing: Existing | undefined,
  overwrite: Overwrite,
): FileDecision {
  if (existing === undefined) return 'create'
  if (!mayOverwrite(wanted.mtimeNs, existing, overwrite)) return 'skip'
  if (existing.type !== 'file') return 'replace'
  // a second name may lie outside the target: neither its bytes nor its mode are ours to change
  if (existing.links > 1 && wanted.links <= 1) return 'replace'
  const sameStat = existing.size === wanted.size && existing.mtimeNs === wanted.mtimeNs
  return overwrite === 'if-changed' && sameStat ? 'unchanged' : 'compare'
}

/** Whether the policy lets an existing entry be touched. Pure. */
export function mayOverwrite(wantedMtimeNs: bigint, existing: Existing, overwrite: Overwrite): boolean {
  if (overwrite === 'never') return false
  return overwrite !== 'if-newer' || wantedMtimeNs > existing.mtimeNs
}
