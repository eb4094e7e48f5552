import { createHash } from 'node:crypto'
import { HoldfastError } from '@holdfast/contract'
import { WorkerPool, workerEntry } from '../engine/worker-pool.ts'
import type { Posix } from '../posix/posix.ts'
import type { Repository } from '../repository/repository.ts'
import type { LinkAnchor } from './restore-batch.ts'
import type { RestoreJob, RestoreJobResult, RestoreWorkerData } from './restore-job.ts'
import type { RestoreSettings } from './restore-settings.ts'
import type { Tally } from './tally.ts'
import type { TargetTree } from './target-tree.ts'
import { TargetWriter } from './target-writer.ts'

/** Failures in a row, each after the store's own retries. */
const MOST_STORE_FAILURES = 8

/** The store stopped answering: nothing more can be restored now. */
export class StoreGone extends HoldfastError {
  constructor(last: HoldfastError) {
    super(
      last.code,
      `the store failed ${MOST_STORE_FAILURES} times in a row, at last with: ${last.message}`,
      {
        guidance:
          'Run the restore again with the policy if-changed when the store answers: what is complete stays.',
        retry: 'later',
        cause: last,
      },
    )
  }
}

/** Everything the steps of one run share. Owns the workers and the open files; close it. */
export class RestoreRun implements AsyncDisposable {
  readonly repository: Repository
  readonly settings: RestoreSettings
  readonly posix: Posix
  readonly target: TargetTree
  readonly tally: Tally
  /** First names of hard-linked files, by device and inode. */
  readonly anchors = new Map<string, LinkAnchor>()
  /** Entries the selection took in, of any type. */
  selected = 0
  #storeFailures = 0
  readonly #rootFd: number | undefined
  readonly #workers: number | undefined
  #pool: WorkerPool<RestoreJob, RestoreJobResult> | undefined
  #writer: TargetWriter | undefined

  constructor(parts: RestoreRunParts) {
    this.repository = parts.repository
    this.settings = parts.settings
    this.posix = parts.posix
    this.target = parts.target
    this.tally = parts.tally
    this.#rootFd = parts.rootFd
    this.#workers = parts.workers
    // threads take a while to start; meanwhile the walk finds work for them
    if (!parts.settings.dryRun) this.#pool = this.#startPool()
  }

  get pool(): WorkerPool<RestoreJob, RestoreJobResult> {
    this.#pool ??= this.#startPool()
    return this.#pool
  }

  /** Writes from this thread, for blobs that needed more than a worker can do. */
  get writer(): TargetWriter {
    this.#writer ??= new TargetWriter({
      posix: this.posix,
      rootFd: this.rootFd,
      rights: this.settings.rights,
    })
    return this.#writer
  }

  get rootFd(): number {
    if (this.#rootFd === undefined) throw new HoldfastError('Internal', 'nothing is written in a dry run')
    return this.#rootFd
  }

  /**
   * The name under which a file is built until it is complete. The same at each run of the same
   * restore, so that what a crash left is found and used; it holds the tree's id, so no snapshot can
   * contain it as a name of its own (that name would change the id).
   */
  partialName(path: string): string {
    const hash = createHash('sha256').update(`${this.settings.tree}${path}`).digest('hex')
    return `.holdfast-${hash.slice(0, 24)}.partial`
  }

  /**
   * One file that a store cannot give is that file's misfortune; a store that gives nothing at all is
   * the run's, which then ends instead of asking in vain for each of a million files.
   */
  noteStore(answer: HoldfastError | undefined): void {
    const failed = answer?.code === 'StoreUnavailable' || answer?.code === 'StoreRefused'
    this.#storeFailures = failed ? this.#storeFailures + 1 : 0
    if (answer !== undefined && this.#storeFailures >= MOST_STORE_FAILURES) throw new StoreGone(answer)
  }

  throwIfCancelled(): void {
    if (this.settings.signal?.aborted !== true) return
    throw new HoldfastError('Cancelled', 'the restore was stopped', {
      guidance: 'Run it again with the overwrite policy if-changed: what is complete is not read again.',
      retry: 'later',
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.close()
    this.#writer?.close()
    this.target.close()
  }

  #startPool(): WorkerPool<RestoreJob, RestoreJobResult> {
    return new WorkerPool({
      entry: workerEntry(import.meta.url, 'restore-worker'),
      workerData: this.#workerData(),
      ...(this.#workers === undefined ? {} : { size: this.#workers }),
    })
  }

  #workerData(): RestoreWorkerData {
    const { masterKey, store, primitives } = this.repository
    return {
      masterKey,
      rootFd: this.#rootFd ?? -1,
      rights: this.settings.rights,
      localDirectory: store.localDirectory,
      portable: primitives.kind === 'portable',
    }
  }
}

export interface RestoreRunParts {
  readonly repository: Repository
  readonly settings: RestoreSettings
  readonly posix: Posix
  readonly target: TargetTree
  readonly tally: Tally
  readonly rootFd: number | undefined
  readonly workers: number | undefined
}
