import { readFile } from 'node:fs/promises'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3'
import { HoldfastError } from '@holdfast/contract'
import { accessKeySource } from './s3-credentials.ts'
import type { S3Location } from './s3-location.ts'
import type { S3StoreOptions } from './s3-options.ts'

/** The SDK, loaded on first use: its start-up costs more than a whole local command. */
export type S3Sdk = typeof import('@aws-sdk/client-s3')

/** A client for one location, and how to let go of its connections. */
export interface S3Connection {
  readonly client: S3Client
  readonly sdk: S3Sdk
  close(): void
}

/**
 * Connects lazily: no request is made here, but files named in the options are read. The SDK's own
 * retries are off, because the retry wrapper does that with one budget; so are its default checksums,
 * because every write carries one that is known already.
 */
export async function connectS3(location: S3Location, options: S3StoreOptions): Promise<S3Connection> {
  const [sdk, tls] = await Promise.all([import('@aws-sdk/client-s3'), readTls(options)])
  const sockets = { keepAlive: true, maxSockets: 64 }
  const httpAgent = new HttpAgent(sockets)
  const httpsAgent = new HttpsAgent({ ...sockets, ...tls })
  const config: S3ClientConfig = {
    ...addressing(location, options, await findRegion(sdk, location, options)),
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    requestHandler: {
      httpAgent,
      httpsAgent,
      connectionTimeout: options.connectTimeoutMs ?? 15_000,
      socketTimeout: options.idleTimeoutMs ?? 60_000,
    },
  }
  if (options.credentials !== undefined) config.credentials = accessKeySource(options.credentials)
  else if (options.profile !== undefined) config.profile = options.profile
  const client = new sdk.S3Client(config)
  signKnownHashes(client)
  return {
    client,
    sdk,
    close: () => {
      client.destroy()
      httpAgent.destroy()
      httpsAgent.destroy()
    },
  }
}

/** Gives the signer the payload's hash where the checksum has it already, so that no body is hashed a second time. */
function signKnownHashes(client: S3Client): void {
  client.middlewareStack.add(
    (next) => (args) => {
      const { ChecksumSHA256: known } = args.input as { readonly ChecksumSHA256?: string }
      const request = args.request as { readonly headers: Record<string, string> }
      if (known !== undefined)
        request.headers['x-amz-content-sha256'] = Buffer.from(known, 'base64').toString('hex')
      return next(args)
    },
    { step: 'build', name: 'holdfastPayloadHash' },
  )
}

/** As told, as the location says, as the SDK finds it (environment, shared config), or the one every server takes. */
async function findRegion(sdk: S3Sdk, location: S3Location, options: S3StoreOptions): Promise<string> {
  const told = options.region ?? location.aws?.region
  if (told !== undefined) return told
  const asker = new sdk.S3Client(options.profile === undefined ? {} : { profile: options.profile })
  try {
    return await asker.config.region()
  } catch {
    return 'us-east-1'
  } finally {
    asker.destroy()
  }
}

function addressing(location: S3Location, options: S3StoreOptions, region: string): S3ClientConfig {
  const lookup = options.bucketLookup ?? 'auto'
  const forcePathStyle = lookup === 'path' || (lookup === 'auto' && location.aws === undefined)
  return location.aws === undefined
    ? { endpoint: location.endpoint, region, forcePathStyle }
    : { region, forcePathStyle, followRegionRedirects: true }
}

async function readTls(options: S3StoreOptions): Promise<{ ca?: Buffer; cert?: Buffer; key?: Buffer }> {
  const { caFile, clientCertificateFile, clientKeyFile } = options.tls ?? {}
  if (clientKeyFile !== undefined && clientCertificateFile === undefined) {
    throw new HoldfastError('InvalidInput', 'A client key was given without its certificate.', {
      place: clientKeyFile,
    })
  }
  const ca = await readPem(caFile)
  const cert = await readPem(clientCertificateFile)
  const key = (await readPem(clientKeyFile)) ?? cert
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  }
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  let pem: Buffer
  try {
    pem = await readFile(path)
  } catch (error) {
    throw new HoldfastError('InvalidInput', `The file ${path} cannot be read.`, { place: path, cause: error })
  }
  if (pem.includes('-----BEGIN ')) return pem
  throw new HoldfastError('InvalidInput', `PEM was expected in ${path}.`, { place: path })
}
