import { createHash } from 'node:crypto'
import type { PutObjectCommandInput } from '@aws-sdk/client-s3'
import { sha256 } from '../format/ids.ts'
import type { FileName } from './blob-store.ts'
import type { S3Connection } from './s3-client.ts'
import type { S3StoreOptions } from './s3-options.ts'

/** One write of one object. */
export interface S3Write {
  readonly file: FileName
  readonly bucket: string
  readonly key: string
  readonly body: Uint8Array
  /** Ask the server to refuse when the key is taken. */
  readonly onlyIfAbsent: boolean
}

/**
 * Writes one object, in one request or in parts, and throws the SDK's own errors. The server verifies
 * the bytes: for everything but the config the checksum is the file's name, so a body that is not what
 * its name says is refused there.
 */
export async function writeObject(
  connection: S3Connection,
  options: S3StoreOptions,
  write: S3Write,
): Promise<void> {
  if (write.body.length > (options.multipartThreshold ?? 64 * 2 ** 20))
    await writeInParts(connection, options, write)
  else await writeAtOnce(connection, options, write)
}

async function writeAtOnce(connection: S3Connection, options: S3StoreOptions, write: S3Write): Promise<void> {
  const { file, bucket, key, body, onlyIfAbsent } = write
  const digest = file.type === 'config' ? sha256(body) : Buffer.from(file.id, 'hex')
  const command = new connection.sdk.PutObjectCommand({
    ...attributes(file, options),
    ...bodyChecksum(options, digest, body),
    ...(onlyIfAbsent ? { IfNoneMatch: '*' } : {}),
    Bucket: bucket,
    Key: key,
    Body: body,
    ContentLength: body.length,
  })
  await connection.client.send(command)
}

/** How many parts of one object are on their way at once. */
const partsAtOnce = 3

async function writeInParts(
  connection: S3Connection,
  options: S3StoreOptions,
  write: S3Write,
): Promise<void> {
  const { client, sdk } = connection
  const target = { Bucket: write.bucket, Key: write.key }
  const sha = options.checksum !== 'md5'
  const { UploadId } = await client.send(
    new sdk.CreateMultipartUploadCommand({
      ...attributes(write.file, options),
      ...(sha ? { ChecksumAlgorithm: 'SHA256' } : {}),
      ...target,
    }),
  )
  try {
    const Parts = await sendParts(connection, options, { ...write, uploadId: UploadId })
    const condition = write.onlyIfAbsent ? { IfNoneMatch: '*' } : {}
    await client.send(
      new sdk.CompleteMultipartUploadCommand({
        ...target,
        ...condition,
        UploadId,
        MultipartUpload: { Parts },
      }),
    )
  } catch (error) {
    // What was sent costs money until it is aborted. If this fails too, a lifecycle rule has to do it.
    await client.send(new sdk.AbortMultipartUploadCommand({ ...target, UploadId })).catch(() => undefined)
    throw error
  }
}

interface SentPart {
  readonly PartNumber: number
  readonly ETag: string | undefined
  readonly ChecksumSHA256?: string
}

async function sendParts(
  { client, sdk }: S3Connection,
  options: S3StoreOptions,
  write: S3Write & { readonly uploadId: string | undefined },
): Promise<SentPart[]> {
  const size = options.partSize ?? 32 * 2 ** 20
  const count = Math.ceil(write.body.length / size)
  const sent: SentPart[] = []
  const progress = { next: 0, failed: false }
  const sender = async (): Promise<void> => {
    while (progress.next < count && !progress.failed) {
      const index = progress.next++
      const body = write.body.subarray(index * size, (index + 1) * size)
      const digest = sha256(body)
      const command = new sdk.UploadPartCommand({
        ...bodyChecksum(options, digest, body),
        Bucket: write.bucket,
        Key: write.key,
        UploadId: write.uploadId,
        PartNumber: index + 1,
        Body: body,
        ContentLength: body.length,
      })
      const { ETag, ChecksumSHA256 } = await client.send(command)
      sent[index] = {
        PartNumber: index + 1,
        ETag,
        ...(ChecksumSHA256 === undefined ? {} : { ChecksumSHA256 }),
      }
    }
  }
  const senders = Array.from({ length: partsAtOnce }, () =>
    sender().catch((error: unknown) => {
      progress.failed = true
      throw error
    }),
  )
  const outcomes = await Promise.allSettled(senders)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return sent
}

function attributes(file: FileName, options: S3StoreOptions): Partial<PutObjectCommandInput> {
  const storageClass = file.type === 'pack' ? options.storageClass : undefined
  return {
    ContentType: 'application/octet-stream',
    ...(storageClass === undefined
      ? {}
      : { StorageClass: storageClass as PutObjectCommandInput['StorageClass'] }),
    ...(file.type === 'lock' ? {} : lockAttributes(options)),
  }
}

function lockAttributes(options: S3StoreOptions): Partial<PutObjectCommandInput> {
  const { retention, legalHold } = options.objectLock ?? {}
  const now = (options.now ?? Date.now)()
  return {
    ...(retention === undefined
      ? {}
      : {
          ObjectLockMode: retention.mode,
          ObjectLockRetainUntilDate: new Date(now + retention.days * 86_400_000),
        }),
    ...(legalHold === true ? { ObjectLockLegalHoldStatus: 'ON' } : {}),
  }
}

function bodyChecksum(
  options: S3StoreOptions,
  digest: Buffer,
  body: Uint8Array,
): { readonly ContentMD5: string } | { readonly ChecksumSHA256: string } {
  return options.checksum === 'md5'
    ? { ContentMD5: createHash('md5').update(body).digest('base64') }
    : { ChecksumSHA256: digest.toString('base64') }
}
