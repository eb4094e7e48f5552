import { posix } from 'node:path'
import { HoldfastError } from '@holdfast/contract'

/** Where a repository is on S3, taken apart. */
export interface S3Location {
  /** `https://host[:port]`, or `http://...`. */
  readonly endpoint: string
  readonly bucket: string
  /** Without slashes at the ends; empty for a repository at the bucket's root. */
  readonly prefix: string
  /** Set when the host is AWS's own: the SDK then finds the endpoint, by region and bucket. */
  readonly aws: { readonly region: string | undefined } | undefined
  /** One spelling for messages: `s3:https://host/bucket/prefix`. */
  readonly text: string
}

/**
 * Reads restic's spellings: `s3:https://host[:port]/bucket[/prefix]`, `s3:http://...`,
 * `s3:host/bucket/prefix` and `s3://host/bucket/prefix`, the last two over https. Throws
 * `InvalidInput`, without repeating the text when it holds a password.
 */
export function parseS3Location(text: string): S3Location {
  if (!text.startsWith('s3:')) throw unusable('An S3 location starts with s3:.')
  const rest = text.slice('s3:'.length)
  const { url, path } = /^https?:\/\//.test(rest) ? readUrl(rest) : readShort(rest.replace(/^\/\//, ''))
  const [bucket = '', ...rests] = path.split('/')
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/.test(bucket)) {
    throw unusable(`The S3 location needs a bucket name after the host, found ${JSON.stringify(bucket)}.`)
  }
  const prefix = cleanPrefix(rests.join('/'))
  const endpoint = `${url.protocol}//${url.host}`
  return {
    endpoint,
    bucket,
    prefix,
    aws: url.protocol === 'https:' && url.port === '' ? awsHost(url.hostname) : undefined,
    text: `s3:${endpoint}/${bucket}${prefix === '' ? '' : `/${prefix}`}`,
  }
}

interface Parts {
  readonly url: URL
  /** Bucket and prefix, decoded. */
  readonly path: string
}

/** A URL's path is percent-encoded. */
function readUrl(written: string): Parts {
  const url = readHost(written)
  if (url.search !== '' || url.hash !== '') throw unusable('The S3 location has a query or a fragment.')
  // The path as written: a URL parser would resolve dots and could end in another bucket.
  const start = written.indexOf('/', written.indexOf('//') + 2)
  return { url, path: start < 0 ? '' : decodePath(written.slice(start + 1)) }
}

/** Without a scheme nothing is encoded: what is written is the key, as restic has it. */
function readShort(written: string): Parts {
  const slash = written.indexOf('/')
  if (slash < 0) throw unusable('The S3 location has a host and no bucket.')
  return { url: readHost(`https://${written.slice(0, slash)}`), path: written.slice(slash + 1) }
}

function readHost(written: string): URL {
  if (!/^https?:\/\/[^/]/.test(written) || !URL.canParse(written))
    throw unusable('The host of the S3 location cannot be read.')
  const url = new URL(written)
  if (url.username === '' && url.password === '') return url
  throw unusable('The S3 location holds credentials; they belong in the environment or a file.')
}

function unusable(message: string): HoldfastError {
  return new HoldfastError('InvalidInput', message, {
    guidance: 'Write it as s3:https://host/bucket/prefix.',
  })
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw unusable('The S3 location has a % that is not followed by two hex digits.')
  }
}

/** As restic cleans it: no double slashes, no dots. What would climb out is refused, where restic would store it literally. */
function cleanPrefix(prefix: string): string {
  if (prefix.includes('\0')) throw unusable('The S3 prefix holds a NUL.')
  const clean = posix.normalize(`/${prefix}`).slice(1).replace(/\/+$/, '')
  if (prefix.split('/').includes('..')) throw unusable('The S3 prefix holds "..".')
  return clean
}

/** `s3.amazonaws.com`, `s3.<region>.amazonaws.com`, also `s3-<region>`, and China's `.com.cn`. */
function awsHost(host: string): { readonly region: string | undefined } | undefined {
  const match = /^s3(?:[.-]([a-z]{2}(?:-[a-z]+)+-\d+))?\.amazonaws\.com(?:\.cn)?$/.exec(host)
  return match === null ? undefined : { region: match[1] }
}
