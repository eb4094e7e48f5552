import { isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { ProgressSink } from '../progress.ts'

export type FindingKind =
  | 'damaged-file' // a file does not open, hash or decode
  | 'bad-pack' // a pack is absent, has a wrong size, or something in it does not verify
  | 'bad-tree' // a tree reads, but says something impossible
  | 'missing-blob' // something refers to a blob that no index has
  | 'duplicate-pack' // note: several index files list a pack alike
  | 'incomplete-pack' // note: several index files list a pack differently
  | 'mixed-pack' // note: trees and data in one pack
  | 'unreferenced-pack' // note: no index lists the pack

export interface Finding {
  readonly kind: FindingKind
  /** A file of the repository with an offset, or a path in a snapshot. */
  readonly place: string
  readonly message: string
}

/** What a check found so far. Lists are bounded; counts are not. */
export interface Findings {
  readonly errors: readonly Finding[]
  readonly notes: readonly Finding[]
  readonly errorCount: number
  readonly noteCount: number
  readonly brokenPacks: ReadonlySet<Hex>
  error(kind: FindingKind, place: string, message: string): void
  note(kind: FindingKind, place: string, message: string): void
  /** An error about what was thrown. A store that could not be asked is thrown on: that is no finding. */
  failure(place: string, error: unknown): void
  brokenPack(id: Hex, offset: number | undefined, message: string): void
  /** Runs `work`; what it throws is a finding about `place`. */
  attempt(place: string, work: () => Promise<void>): Promise<void>
}

const maxListed = 10_000

/** An empty collection; errors are also told to `report` as they are found. */
export function createFindings(report?: ProgressSink): Findings {
  const errors: Finding[] = []
  const notes: Finding[] = []
  const brokenPacks = new Set<Hex>()
  let errorCount = 0
  let noteCount = 0
  const findings: Findings = {
    errors,
    notes,
    brokenPacks,
    get errorCount() {
      return errorCount
    },
    get noteCount() {
      return noteCount
    },
    error(kind, place, message) {
      errorCount += 1
      if (errors.length < maxListed) {
        errors.push({ kind, place, message })
        report?.({ kind: 'error', path: place, during: 'check', message })
      }
    },
    note(kind, place, message) {
      noteCount += 1
      if (notes.length < maxListed) {
        notes.push({ kind, place, message })
        report?.({ kind: 'note', message: `${place} ${message}` })
      }
    },
    failure(place, error) {
      if (
        !isHoldfastError(error) ||
        error.code === 'StoreUnavailable' ||
        error.code === 'StoreRefused' ||
        error.code === 'Cancelled'
      ) {
        throw error
      }
      findings.error(
        'damaged-file',
        place,
        error.place === undefined || error.message.includes(error.place)
          ? error.message
          : `${error.message} (${error.place})`,
      )
    },
    brokenPack(id, offset, message) {
      brokenPacks.add(id)
      findings.error(
        'bad-pack',
        offset === undefined ? `pack/${id}` : `pack/${id} at offset ${offset}`,
        message,
      )
    },
    async attempt(place, work) {
      try {
        await work()
      } catch (error) {
        findings.failure(place, error)
      }
    },
  }
  return findings
}
