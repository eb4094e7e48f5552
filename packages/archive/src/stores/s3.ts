import type { Readable } from 'node:stream'
import { HoldfastError } from '@holdfast/contract'
import { sha256Hex } from '../format/ids.ts'
import type { BlobStore, ByteRange, FileName, FileType, ListedFile } from './blob-store.ts'
import { checkRange, rangeWithin, shortFile } from './check-range.ts'
import { notFound, settleExisting } from './existing-file.ts'
import { idOfPath, layoutDirectory, layoutPath } from './layout.ts'
import { connectS3, type S3Connection } from './s3-client.ts'
import { s3Error, s3Failure } from './s3-error.ts'
import { parseS3Location, type S3Location } from './s3-location.ts'
import type { S3StoreOptions } from './s3-options.ts'
import { writeObject } from './s3-write.ts'

/** What the server was found to do. */
export interface S3Capabilities {
  /**
   * Whether the server refuses to overwrite when asked (`If-None-Match: *`). `enforced`: of two
   * concurrent inits one fails. `ignored`: the store looks before it writes, and two inits in the same
   * moment can both believe they won. `unknown`: nothing was written yet, or the probe was not allowed.
   */
  readonly conditionalWrites: 'enforced' | 'ignored' | 'unknown'
}

/** The S3 store: the port, and what only S3 has. */
export interface S3Store extends BlobStore {
  /** As found so far: asks nothing. */
  capabilities(): S3Capabilities
}

/**
 * A repository in a bucket of any S3-compatible server, in restic's layout: `<prefix>/config`,
 * `<prefix>/data/xx/<id>`, `<prefix>/keys/<id>` ... Opening makes no request. No retries here: wrap it
 * in `withRetry`.
 *
 * Every write is one PUT or one completed multipart upload, so it is there whole or not at all, and it
 * carries a checksum the server verifies. On a versioned bucket `remove` hides a file behind a delete
 * marker, and only lifecycle rules win the space back.
 */
export async function openS3Store(options: S3StoreOptions): Promise<S3Store> {
  const location = parseS3Location(options.location)
  if (/^(GLACIER|DEEP_ARCHIVE)$/i.test(options.storageClass ?? '')) {
    throw new HoldfastError(
      'InvalidInput',
      `Packs cannot be stored as ${options.storageClass}: they could not be read back at once.`,
      {
        guidance: 'Use GLACIER_IR, STANDARD_IA or another class that can be read at any time.',
      },
    )
  }
  const bucket: Bucket = {
    location,
    options,
    connection: await connectS3(location, options),
    conditionalWrites: location.aws === undefined ? 'unknown' : 'enforced',
    probing: false,
  }
  return {
    location: location.text,
    connections: Math.max(1, options.connections ?? 5),
    localDirectory: undefined,
    create: () => createBucket(bucket),
    save: (file, body) => saveFile(bucket, file, body),
    load: (file, range) => loadFile(bucket, file, range),
    stat: (file) => statFile(bucket, file),
    list: (type) => listFiles(bucket, type),
    remove: (file) => removeFile(bucket, file),
    capabilities: () => ({ conditionalWrites: bucket.conditionalWrites }),
    [Symbol.asyncDispose]: async () => bucket.connection.close(),
  }
}

interface Bucket {
  readonly location: S3Location
  readonly options: S3StoreOptions
  readonly connection: S3Connection
  conditionalWrites: S3Capabilities['conditionalWrites']
  probing: boolean
}

function objectOf(bucket: Bucket, file: FileName): { readonly Bucket: string; readonly Key: string } {
  return { Bucket: bucket.location.bucket, Key: keyOf(bucket, layoutPath(file)) }
}

function keyOf(bucket: Bucket, path: string): string {
  return bucket.location.prefix === '' ? path : `${bucket.location.prefix}/${path}`
}

function failed(bucket: Bucket, doing: string, place: string, error: unknown): HoldfastError {
  return s3Error(error, doing, { location: bucket.location.text, place })
}

async function createBucket(bucket: Bucket): Promise<void> {
  const { client, sdk } = bucket.connection
  const name = { Bucket: bucket.location.bucket }
  try {
    await client.send(new sdk.HeadBucketCommand(name))
    return
  } catch (error) {
    const { status } = s3Failure(error)
    // A key that may not look at the bucket may still write below its prefix: the first save will tell.
    if (status === 403) return
    if (status !== 404) throw failed(bucket, 'look for the bucket', bucket.location.bucket, error)
  }
  try {
    const region = await client.config.region()
    const elsewhere = bucket.location.aws !== undefined && region !== 'us-east-1'
    await client.send(
      new sdk.CreateBucketCommand({
        ...name,
        ...(bucket.options.objectLock === undefined ? {} : { ObjectLockEnabledForBucket: true }),
        ...(elsewhere ? { CreateBucketConfiguration: { LocationConstraint: region as 'eu-west-1' } } : {}),
      }),
    )
  } catch (error) {
    if (s3Failure(error).code === 'BucketAlreadyOwnedByYou') return
    throw failed(bucket, 'make the bucket', bucket.location.bucket, error)
  }
}

async function saveFile(bucket: Bucket, file: FileName, body: Uint8Array): Promise<void> {
  const place = layoutPath(file)
  if (bucket.conditionalWrites !== 'enforced') {
    const existing = await sizeOf(bucket, file)
    if (existing !== undefined) return settleExisting(file, existing, body.length, bucket.location.text)
  }
  try {
    if ((await putUnlessTaken(bucket, file, body)) === 'taken') await settleTaken(bucket, file, body)
    else if (bucket.conditionalWrites === 'unknown') await probe(bucket, file, body)
  } catch (error) {
    throw checksumError(file, body, error) ?? failed(bucket, `save a ${file.type}`, place, error)
  }
}

/** Writes with `If-None-Match: *`, unless the server is known not to heed it, or now says so. */
async function putUnlessTaken(
  bucket: Bucket,
  file: FileName,
  body: Uint8Array,
): Promise<'written' | 'taken'> {
  const { Bucket: name, Key: key } = objectOf(bucket, file)
  const write = (onlyIfAbsent: boolean): Promise<void> =>
    writeObject(bucket.connection, bucket.options, { file, bucket: name, key, body, onlyIfAbsent })
  const conditional = bucket.conditionalWrites !== 'ignored'
  try {
    await write(conditional)
  } catch (error) {
    const { status, code } = s3Failure(error)
    if (conditional && (status === 412 || code === 'PreconditionFailed')) {
      bucket.conditionalWrites = 'enforced'
      return 'taken'
    }
    if (!conditional || (status !== 501 && code !== 'NotImplemented')) throw error
    bucket.conditionalWrites = 'ignored'
    await write(false)
  }
  return 'written'
}

async function settleTaken(bucket: Bucket, file: FileName, body: Uint8Array): Promise<void> {
  const existing = await sizeOf(bucket, file)
  if (existing !== undefined) return settleExisting(file, existing, body.length, bucket.location.text)
  if (file.type === 'config') throw comeAndGone(file)
  // Gone between the two requests, or hidden: some servers count a delete marker as taken. The name is the content's hash, so nothing else can be replaced.
  const { Bucket: name, Key: key } = objectOf(bucket, file)
  await writeObject(bucket.connection, bucket.options, { file, bucket: name, key, body, onlyIfAbsent: false })
}

function comeAndGone(file: FileName): HoldfastError {
  return new HoldfastError(
    'StoreUnavailable',
    'The name was taken when the file was to be written, and free when it was looked at.',
    {
      place: layoutPath(file),
      retry: 'later',
    },
  )
}

/** Bodies up to this size may be sent twice to find out what the server does, in bytes. */
const probeLimit = 64 * 1024

/**
 * Finds out whether conditional writes are heeded, once, by writing the small file that was just
 * written a second time: a server that refuses heeds them, one that does not has the same bytes as before.
 */
async function probe(bucket: Bucket, file: FileName, body: Uint8Array): Promise<void> {
  if (bucket.probing || body.length > probeLimit) return
  bucket.probing = true
  try {
    if ((await putUnlessTaken(bucket, file, body)) === 'written') bucket.conditionalWrites = 'ignored'
  } catch {
    // Not allowed to write twice: stay with looking first.
  } finally {
    bucket.probing = false
  }
}

/** A refused checksum is the network's fault, unless the bytes never were what the name says. */
function checksumError(file: FileName, body: Uint8Array, error: unknown): HoldfastError | undefined {
  const mismatch = [
    'BadDigest',
    'XAmzContentSHA256Mismatch',
    'XAmzContentChecksumMismatch',
    'InvalidDigest',
    'InvalidRequest',
  ]
  if (file.type === 'config' || !mismatch.includes(s3Failure(error).code) || sha256Hex(body) === file.id)
    return undefined
  return new HoldfastError('Damaged', 'The bytes to be saved do not match the name, which is their hash.', {
    place: layoutPath(file),
    cause: error,
  })
}

async function loadFile(bucket: Bucket, file: FileName, range: ByteRange | undefined): Promise<Buffer> {
  if (range !== undefined) checkRange(file, range)
  if (range?.length === 0) return Buffer.alloc(0)
  const { client, sdk } = bucket.connection
  const Range =
    range === undefined ? {} : { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` }
  try {
    const answer = await client.send(new sdk.GetObjectCommand({ ...objectOf(bucket, file), ...Range }))
    const body = answer.Body as Readable | undefined
    try {
      const length = expectedLength(file, range, answer)
      return await readExactly(body, length)
    } finally {
      body?.destroy()
    }
  } catch (error) {
    const { code, status } = s3Failure(error)
    if (range !== undefined && (status === 416 || code === 'InvalidRange')) {
      throw shortFile(file, (await statFile(bucket, file)).size, range)
    }
    throw missing(bucket, file, error) ?? failed(bucket, `load a ${file.type}`, layoutPath(file), error)
  }
}

function expectedLength(
  file: FileName,
  range: ByteRange | undefined,
  answer: { readonly ContentLength?: number | undefined; readonly ContentRange?: string | undefined },
): number {
  const length = answer.ContentLength ?? -1
  if (range === undefined) return rangeWithin(file, length, undefined).length
  const given = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(answer.ContentRange ?? '')
  if (given === null || Number(given[1]) !== range.offset) {
    throw new HoldfastError(
      'Unsupported',
      'A part of a file was asked for, the server answered with something else.',
      {
        place: layoutPath(file),
        guidance: 'The server must support range requests.',
      },
    )
  }
  if (length === range.length) return length
  throw shortFile(file, range.offset + length, range)
}

/** Reads a body of a length that was announced, into one buffer. What breaks off is worth another attempt. */
async function readExactly(body: Readable | undefined, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, length))
  let done = 0
  for await (const chunk of body ?? []) {
    const part = chunk as Buffer
    if (done + part.length > length) break
    part.copy(bytes, done)
    done += part.length
  }
  if (done === length) return bytes
  throw new HoldfastError(
    'StoreUnavailable',
    `The answer broke off: ${length} bytes were announced, ${done} came.`,
    { retry: 'later' },
  )
}

async function statFile(bucket: Bucket, file: FileName): Promise<{ readonly size: number }> {
  const size = await sizeOf(bucket, file)
  if (size === undefined) throw notFound(file, `There is no ${layoutPath(file)} in ${bucket.location.text}.`)
  return { size }
}

async function sizeOf(bucket: Bucket, file: FileName): Promise<number | undefined> {
  const { client, sdk } = bucket.connection
  const object = objectOf(bucket, file)
  try {
    return (await client.send(new sdk.HeadObjectCommand(object))).ContentLength ?? 0
  } catch (error) {
    if (s3Failure(error).status === 404) return undefined
    throw failed(bucket, `look at a ${file.type}`, layoutPath(file), error)
  }
}

function missing(bucket: Bucket, file: FileName, error: unknown): HoldfastError | undefined {
  const { code, status } = s3Failure(error)
  if (status !== 404 || (code === 'NoSuchBucket' && file.type !== 'config')) return undefined
  const what =
    code === 'NoSuchBucket'
      ? `The bucket ${bucket.location.bucket} does not exist`
      : `There is no ${layoutPath(file)}`
  return notFound(file, `${what} in ${bucket.location.text}.`)
}

async function* listFiles(bucket: Bucket, type: FileType): AsyncIterable<ListedFile> {
  if (type === 'config') {
    const size = await sizeOf(bucket, { type, id: '' })
    if (size !== undefined) yield { id: '', size }
    return
  }
  const { client, sdk } = bucket.connection
  const prefix = keyOf(bucket, `${layoutDirectory(type)}/`)
  const query = { Bucket: bucket.location.bucket, Prefix: prefix, MaxKeys: bucket.options.pageSize ?? 1000 }
  let from: string | undefined
  do {
    const page = await client
      .send(new sdk.ListObjectsV2Command(from === undefined ? query : { ...query, ContinuationToken: from }))
      .catch((error: unknown) => {
        throw failed(bucket, `list ${layoutDirectory(type)}`, layoutDirectory(type), error)
      })
    for (const { Key, Size } of page.Contents ?? []) {
      const id = Key?.startsWith(prefix) === true ? idOfPath(type, Key.slice(prefix.length)) : undefined
      if (id !== undefined) yield { id, size: Size ?? 0 }
    }
    from = nextPage(bucket, from, page)
  } while (from !== undefined)
}

/** The token of the next page, if there is one. A server that gives the same token twice would have us list forever. */
function nextPage(
  bucket: Bucket,
  last: string | undefined,
  page: { readonly IsTruncated?: boolean | undefined; readonly NextContinuationToken?: string | undefined },
): string | undefined {
  if (page.IsTruncated !== true) return undefined
  const next = page.NextContinuationToken
  if (next !== undefined && next !== last) return next
  throw new HoldfastError(
    'Unsupported',
    `The listing of ${bucket.location.text} is cut off and does not go on.`,
    {
      guidance: 'The server must support ListObjectsV2 with continuation tokens.',
    },
  )
}

async function removeFile(bucket: Bucket, file: FileName): Promise<void> {
  const { client, sdk } = bucket.connection
  const object = objectOf(bucket, file)
  try {
    await client.send(new sdk.DeleteObjectCommand(object))
  } catch (error) {
    const { status, code } = s3Failure(error)
    if (status === 404 && code !== 'NoSuchBucket') return
    const refusal = failed(bucket, `remove a ${file.type}`, layoutPath(file), error)
    throw (status === 400 || status === 403 ? await protection(bucket, file, refusal) : undefined) ?? refusal
  }
}

/** Why a removal was refused, if it is object lock: until when the file is kept, as far as the server tells. */
async function protection(
  bucket: Bucket,
  file: FileName,
  refusal: HoldfastError,
): Promise<HoldfastError | undefined> {
  const { client, sdk } = bucket.connection
  const head = await client.send(new sdk.HeadObjectCommand(objectOf(bucket, file))).catch(() => undefined)
  const until = head?.ObjectLockRetainUntilDate
  const held = head?.ObjectLockLegalHoldStatus === 'ON'
  if (until === undefined && !held) return undefined
  const reasons = [
    ...(until === undefined
      ? []
      : [`retention until ${until.toISOString()} (${head?.ObjectLockMode ?? 'unknown mode'})`]),
    ...(held ? ['a legal hold'] : []),
  ]
  return new HoldfastError(
    'StoreRefused',
    `The server keeps the ${file.type} in ${bucket.location.text}: ${reasons.join(' and ')}.`,
    {
      place: layoutPath(file),
      guidance: held ? 'Have the legal hold taken off first.' : 'Run it again after that date.',
      cause: refusal.cause,
    },
  )
}
