import { HoldfastError, type Retry } from '@holdfast/contract'
import { noteRetryAfter, parseRetryAfter } from './retry-after.ts'

/** What the SDK knows of a failed request. All members are optional: a dropped connection has none. */
export interface S3Failure {
  /** The server's error code (`AccessDenied`), or the SDK's error name. */
  readonly code: string
  readonly status: number | undefined
  /** The errno or TLS code of the socket, if it was one. */
  readonly socket: string | undefined
  readonly message: string
  readonly header: (name: string) => string | undefined
}

/** Reads an error the SDK threw. */
export function s3Failure(error: unknown): S3Failure {
  const seen = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly name?: unknown
    readonly Code?: unknown
    readonly code?: unknown
    readonly message?: unknown
    readonly cause?: unknown
    readonly $metadata?: { readonly httpStatusCode?: number }
    readonly $response?: { readonly headers?: Readonly<Record<string, string>> }
  }
  const headers = seen.$response?.headers ?? {}
  return {
    code: text(seen.Code) ?? text(seen.name) ?? 'Unknown',
    status: seen.$metadata?.httpStatusCode,
    socket:
      text(seen.code) ??
      (seen.cause instanceof Error ? text((seen.cause as { code?: unknown }).code) : undefined),
    message: text(seen.message) ?? String(error),
    header: (name) => headers[name],
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

interface Meaning {
  readonly code: 'StoreUnavailable' | 'StoreRefused' | 'Unsupported'
  readonly retry: Retry
  readonly guidance: string
}

const refused = (guidance: string): Meaning => ({ code: 'StoreRefused', retry: 'after-change', guidance })
const passing = (guidance: string): Meaning => ({ code: 'StoreUnavailable', retry: 'later', guidance })

const noPermission = refused(
  'Give the access key the right to read, write, list and delete under the prefix.',
)
const wrongKey = refused('Check the access key, the secret and the region.')
const expired = refused('The credentials have expired: get new ones.')
const wrongRegion = refused('Set the region of the bucket.')
const busy = passing('The server is overloaded: use fewer connections or a rate limit.')
const troubled = passing('The server had an error of its own: look at its log if it stays.')

const notOffered: Meaning = {
  code: 'Unsupported',
  retry: 'never',
  guidance: 'The server does not offer this: leave the option off.',
}

const byCode: Readonly<Record<string, Meaning>> = {
  AccessDenied: noPermission,
  AllAccessDisabled: noPermission,
  InvalidAccessKeyId: wrongKey,
  SignatureDoesNotMatch: wrongKey,
  InvalidSecurity: wrongKey,
  CredentialsProviderError: refused('Set the access key: options, a file, the environment or a profile.'),
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  InvalidToken: expired,
  RequestTimeTooSkewed: refused(
    'The clocks of this machine and the server differ by more than 15 minutes: set them.',
  ),
  AuthorizationHeaderMalformed: wrongRegion,
  PermanentRedirect: wrongRegion,
  IllegalLocationConstraintException: wrongRegion,
  NoSuchBucket: {
    code: 'StoreUnavailable',
    retry: 'after-change',
    guidance: 'Check the bucket’s name, or make it with init.',
  },
  InvalidObjectState: refused(
    'The file is in an archive class: have the server restore it to a standard class first.',
  ),
  NotImplemented: notOffered,
  ObjectLockConfigurationNotFoundError: refused('Make the bucket with object lock, or leave the option off.'),
  BadDigest: passing('The bytes changed on the way: check the network.'),
  XAmzContentSHA256Mismatch: passing('The bytes changed on the way: check the network.'),
  XAmzContentChecksumMismatch: passing('The bytes changed on the way: check the network.'),
  QuotaExceeded: {
    code: 'StoreUnavailable',
    retry: 'after-change',
    guidance: 'The bucket’s quota is used up.',
  },
  XMinioStorageFull: {
    code: 'StoreUnavailable',
    retry: 'after-change',
    guidance: 'The server’s disks are full.',
  },
  SlowDown: busy,
  Throttling: busy,
  ThrottlingException: busy,
  TooManyRequests: busy,
  RequestLimitExceeded: busy,
  ServiceUnavailable: busy,
  RequestTimeout: busy,
  ConditionalRequestConflict: busy,
  OperationAborted: busy,
  InternalError: troubled,
}

const tlsTrouble =
  /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO$|INVALID_CA|PATH_LENGTH_EXCEEDED)/
const noSuchHost = /^(ENOTFOUND|EAI_AGAIN|EAI_FAIL)$/

/**
 * The store error for a failed request. `doing` completes "could not ...". Temporary (`later`): no
 * answer, dropped connections, 408, 429, 5xx, conflicts. Permanent: everything the server means.
 */
export function s3Error(
  error: unknown,
  doing: string,
  where: { readonly location: string; readonly place: string },
): HoldfastError {
  if (error instanceof HoldfastError) return error
  const failure = s3Failure(error)
  const meaning = meaningOf(failure)
  const hint =
    failure.code === 'AuthorizationHeaderMalformed' || failure.status === 301 ? regionHint(failure) : ''
  const reason =
    failure.status === undefined ? (failure.socket ?? failure.message) : `${failure.status} ${failure.code}`
  const told = new HoldfastError(meaning.code, `Could not ${doing} in ${where.location}: ${reason}.`, {
    guidance: `${meaning.guidance}${hint}`,
    retry: meaning.retry,
    place: where.place,
    cause: error,
  })
  return noteRetryAfter(told, parseRetryAfter(failure.header('retry-after'), Date.now()))
}

function meaningOf(failure: S3Failure): Meaning {
  const known = byCode[failure.code]
  if (known !== undefined) return known
  return failure.status === undefined
    ? meaningOfSocket(failure.socket ?? '')
    : meaningOfStatus(failure.status)
}

function meaningOfSocket(code: string): Meaning {
  if (tlsTrouble.test(code)) {
    return refused(
      'Name the authority that signed the server’s certificate, and the client certificate if it wants one.',
    )
  }
  if (noSuchHost.test(code)) return passing('Check the host name in the location.')
  return passing('Check that the server runs and can be reached.')
}

function meaningOfStatus(status: number): Meaning {
  if (status === 408 || status === 409 || status === 429) return busy
  if (status === 501) return notOffered
  if (status >= 500) return troubled
  if (status === 401 || status === 403) return noPermission
  if (status >= 300 && status < 400) return wrongRegion
  return refused('The server does not accept the request: see its message.')
}

function regionHint(failure: S3Failure): string {
  const region =
    failure.header('x-amz-bucket-region') ?? /expecting '([a-z0-9-]+)'/.exec(failure.message)?.[1]
  return region === undefined ? '' : ` The server says ${region}.`
}
