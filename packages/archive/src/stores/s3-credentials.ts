import { readFile } from 'node:fs/promises'
import { HoldfastError } from '@holdfast/contract'

/** Where the access key comes from. Without any of these the SDK's own chain is asked: environment, profile, web identity, instance. */
export type S3Credentials =
  | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
  | {
      /** Files with one value each, as a mounted secret has them; read again every few minutes, so that they can be rotated. */
      readonly accessKeyIdFile: string
      readonly secretAccessKeyFile: string
      readonly sessionTokenFile?: string
    }
  | {
      /** An AWS shared credentials file, and the section of it to use (`default` unless told). */
      readonly sharedCredentialsFile: string
      readonly profile?: string
    }

/** The key in the SDK's words. `expiration` is when it is to be asked for again. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

/** How long a key read from a file is used before the file is read again, in ms. Longer than the SDK's own five-minute margin. */
const rereadAfter = 10 * 60_000

/** A source of the access key for the SDK. Throws `InvalidInput` when a file does not hold what it should; never with its content. */
export function accessKeySource(
  credentials: S3Credentials,
  now: () => number = Date.now,
): () => Promise<AccessKey> {
  if ('accessKeyId' in credentials) return () => Promise.resolve(credentials)
  return async () => ({ ...(await readKey(credentials)), expiration: new Date(now() + rereadAfter) })
}

async function readKey(
  credentials: Exclude<S3Credentials, { readonly accessKeyId: string }>,
): Promise<AccessKey> {
  if ('sharedCredentialsFile' in credentials) {
    const { sharedCredentialsFile, profile = 'default' } = credentials
    return keyOfSection(await readText(sharedCredentialsFile), profile, sharedCredentialsFile)
  }
  const token =
    credentials.sessionTokenFile === undefined ? undefined : await readValue(credentials.sessionTokenFile)
  return {
    accessKeyId: await readValue(credentials.accessKeyIdFile),
    secretAccessKey: await readValue(credentials.secretAccessKeyFile),
    ...(token === undefined ? {} : { sessionToken: token }),
  }
}

function keyOfSection(text: string, profile: string, path: string): AccessKey {
  const values = sectionOf(text, profile)
  const accessKeyId = values.get('aws_access_key_id')
  const secretAccessKey = values.get('aws_secret_access_key')
  const sessionToken = values.get('aws_session_token')
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw unusable(path, `Section [${profile}] with aws_access_key_id and aws_secret_access_key was expected`)
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
}

function sectionOf(text: string, wanted: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  let inside = false
  for (const line of text.split(/\r?\n/)) {
    const section = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)
    if (section !== null) inside = section[1] === wanted
    const pair = /^\s*([A-Za-z0-9_]+)\s*=\s*(.*?)\s*$/.exec(line)
    if (inside && pair?.[1] !== undefined && pair[2] !== undefined) values.set(pair[1], pair[2])
  }
  return values
}

async function readValue(path: string): Promise<string> {
  const value = (await readText(path)).trim()
  if (value === '' || /\s/.test(value)) throw unusable(path, 'One word was expected')
  return value
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new HoldfastError('InvalidInput', `The credentials file ${path} cannot be read.`, {
      place: path,
      cause: error,
    })
  }
}

function unusable(path: string, expected: string): HoldfastError {
  return new HoldfastError('InvalidInput', `${expected} in the credentials file ${path}.`, {
    place: path,
    guidance: 'Write the access key there, or name another file.',
  })
}
