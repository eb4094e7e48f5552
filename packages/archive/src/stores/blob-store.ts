import type { Hex } from '../format/ids.ts'

/** The six kinds of file a restic repository is made of. A repository has exactly one `config`. */
export type FileType = 'config' | 'key' | 'lock' | 'snapshot' | 'index' | 'pack'

/** Every kind, in no particular order. */
export const fileTypes = [
  'config',
  'key',
  'lock',
  'snapshot',
  'index',
  'pack',
] as const satisfies readonly FileType[]

/**
 * Names one file. `id` is the SHA-256 of the stored bytes for every type but `config`, whose id is
 * the empty string. Stores may rely on that: S3 sends it as the checksum the server verifies.
 */
export interface FileName {
  readonly type: FileType
  readonly id: Hex
}

/** Part of a file: `length` bytes from `offset`, both in bytes, both non-negative safe integers. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** One row of a listing; `size` in bytes. */
export interface ListedFile {
  readonly id: Hex
  readonly size: number
}

/**
 * Where repository files live: a directory, a bucket, memory. The archive is written against this
 * port alone, and every implementation and wrapper passes the same conformance suite.
 *
 * All methods may be called concurrently. Every failure is a `HoldfastError`:
 *
 * | code               | meaning                                                        | `retry`        |
 * | ------------------ | -------------------------------------------------------------- | -------------- |
 * | `NotFound`         | the file is not there                                          | `after-change` |
 * | `Damaged`          | the stored bytes contradict their name or the range asked for  | `after-change` |
 * | `RepositoryExists` | `save` of a `config` that is there already                     | `after-change` |
 * | `StoreUnavailable` | no answer, or a full disk                                      | see below      |
 * | `StoreRefused`     | the answer is no: credentials, permission, immutability, TLS   | `after-change` |
 * | `LimitExceeded`    | a file is larger than `maxWholeFile` and was asked for whole   | `never`        |
 * | `ReadOnly`         | a wrapper forbids the change                                   | `after-change` |
 *
 * `retry: 'later'` is the one mark of a temporary failure, and only `StoreUnavailable` carries it
 * (time-outs, dropped connections, 5xx, throttling, EIO, ESTALE). Everything else is permanent:
 * repeating the same call without changing something ends the same way. A full disk and an absent
 * base directory are `StoreUnavailable` with `after-change`.
 */
export interface BlobStore extends AsyncDisposable {
  /** What the user typed, for messages. Never holds credentials. */
  readonly location: string

  /** How many requests are worth having in flight. At least 1. */
  readonly connections: number

  /**
   * Set only by the bare filesystem store: the repository's directory, in which files may be read
   * directly (`filesystemPath`) and packs written directly (`savePackSync`). Every wrapper hides it,
   * because direct access would go round the wrapper.
   */
  readonly localDirectory: string | undefined

  /**
   * Makes the layout: directories, or the bucket where the store has one and may. Idempotent; touches
   * no file that exists. Does not write a config and does not look for one.
   */
  create(): Promise<void>

  /**
   * Stores `body` under `file`: all of it, or nothing that any other method can see. Durable when it
   * resolves: it survives a power cut. `body` is not kept and may be reused afterwards; it must not
   * change before.
   *
   * A name that exists is never truncated and never written in place:
   * - `config`: `RepositoryExists`, whatever the bytes. Of several concurrent saves one wins, where
   *   the store can promise it (a local disk with hard links; S3 with conditional writes).
   * - any other type: success without writing if the size is the same (the name is the hash of the
   *   content, so it is the same content), `Damaged` if it is not.
   *
   * So repeating a save whose outcome is unknown is safe. No order is promised between two saves in
   * flight; a caller that needs pack-before-index awaits the first.
   *
   * After a failure the file is absent or complete, never part of either, on every store but one that
   * tears writes; the retry wrapper knows how to clear up after such a store.
   */
  save(file: FileName, body: Uint8Array): Promise<void>

  /**
   * Reads a whole file, or exactly `range.length` bytes of it. A range that reaches past the end is
   * `Damaged`, not a short answer; a range of length 0 is an empty buffer without a request. A whole
   * file is limited to `maxWholeFile` bytes before anything is allocated. What comes back is not
   * verified against the name: that is the repository's business (only the cache checks its own).
   */
  load(file: FileName, range?: ByteRange): Promise<Buffer>

  /** The file's size in bytes, or `NotFound`. */
  stat(file: FileName): Promise<{ readonly size: number }>

  /**
   * Every file of a type, each once, in no order, without loading any. Names that are not of the
   * layout (temporary files of crashed writers, foreign files, directories) are left out. A file
   * saved or removed while the listing runs may or may not be in it; one that was there all the time
   * always is. A store that is not there at all is an error, never an empty listing: prune would
   * believe it.
   */
  list(type: FileType): AsyncIterable<ListedFile>

  /**
   * Removes a file; one that is absent is fine. Durable when it resolves. On a versioned bucket the
   * file is hidden, and its bytes stay until the bucket's own rules expire them.
   */
  remove(file: FileName): Promise<void>
}

/** The most a `load` without range will allocate, in bytes (1 GiB). restic's packs end at 128 MiB plus one blob. */
export const maxWholeFile = 2 ** 30
