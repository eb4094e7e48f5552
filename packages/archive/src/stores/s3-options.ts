import type { S3Credentials } from './s3-credentials.ts'

/** How long the server is to refuse changes of what is written, and to whom. */
export interface S3ObjectLock {
  /** `COMPLIANCE` binds everybody; `GOVERNANCE` lets those with a special right shorten it. Leave out for a legal hold alone. */
  readonly retention?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number }
  /** Holds until somebody takes it off. */
  readonly legalHold?: boolean
}

/** Options of the S3 store. */
export interface S3StoreOptions {
  /** restic's spelling, for example `s3:https://host/bucket/prefix`. */
  readonly location: string
  /** Unless told: from the location on AWS, else as the SDK finds it (environment, shared config), else `us-east-1`. */
  readonly region?: string
  readonly credentials?: S3Credentials
  /** A profile for the SDK's own chain, when `credentials` is left out. */
  readonly profile?: string
  /** `path` puts the bucket into the path, `dns` into the host name; `auto` is `dns` on AWS and `path` elsewhere. */
  readonly bucketLookup?: 'auto' | 'path' | 'dns'
  readonly tls?: {
    /** PEM of the authorities to trust *instead* of the system's. */
    readonly caFile?: string
    /** PEM; may hold the key as well. */
    readonly clientCertificateFile?: string
    readonly clientKeyFile?: string
  }
  /** Requests in flight; 5 unless told, as restic has it. */
  readonly connections?: number
  /** 15 seconds unless told. */
  readonly connectTimeoutMs?: number
  /** How long a connection may be silent in the middle of a request; 60 seconds unless told. */
  readonly idleTimeoutMs?: number
  /** Bodies larger than this go in parts; 64 MiB unless told, at least 5 MiB on most servers. */
  readonly multipartThreshold?: number
  /** Size of a part in bytes; 32 MiB unless told, at least 5 MiB on most servers. */
  readonly partSize?: number
  /** For packs; everything else stays in the bucket's default class. Archive classes are refused: trees are packs too. */
  readonly storageClass?: string
  /** For every file but locks, which come and go. The bucket must have been made with object lock; `create` does. */
  readonly objectLock?: S3ObjectLock
  /** What the server checks a body by: `sha256` (x-amz-checksum-sha256) unless told, `md5` (Content-MD5) for old servers. */
  readonly checksum?: 'sha256' | 'md5'
  /** Rows a listing asks for at once, at most 1000. */
  readonly pageSize?: number
  /** The wall clock in ms since the epoch, for retention dates. */
  readonly now?: () => number
}
