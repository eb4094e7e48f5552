import { HoldfastError } from '@holdfast/contract'
import type { Command } from 'commander'
import { choice } from '../../values/choice.ts'
import { wholeNumber } from '../../values/whole-number.ts'

/** What an S3 store is told beyond its address. Credentials are not among it: the AWS SDK finds them. */
export interface S3Settings {
  readonly region: string | undefined
  readonly pathStyle: boolean | undefined
  readonly caFile: string | undefined
  readonly clientCertFile: string | undefined
  readonly clientKeyFile: string | undefined
  readonly storageClass: string | undefined
  readonly objectLock: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number } | undefined
  readonly legalHold: boolean
  readonly connections: number | undefined
}

export interface S3Flags {
  readonly s3Region?: string
  readonly s3PathStyle?: 'auto' | 'on' | 'off'
  readonly s3CaFile?: string
  readonly s3ClientCert?: string
  readonly s3ClientKey?: string
  readonly s3StorageClass?: string
  readonly s3ObjectLockMode?: 'governance' | 'compliance'
  readonly s3ObjectLockDays?: number
  readonly s3LegalHold?: boolean
  readonly s3Connections?: number
}

export function addS3Flags(command: Command): void {
  const days = wholeNumber('--s3-object-lock-days', { least: 1, most: 36_500 })
  const connections = wholeNumber('--s3-connections', { least: 1, most: 256 })
  command
    .optionsGroup('S3:')
    .option('--s3-region <region>', "the bucket's region (default: as the AWS SDK finds it)")
    .option(
      '--s3-path-style <when>',
      'auto, on or off: host/bucket/key instead of bucket.host/key',
      choice('--s3-path-style', ['auto', 'on', 'off']),
    )
    .option('--s3-ca-file <file>', 'trust the certificate authorities in this PEM file')
    .option('--s3-client-cert <file>', 'show this client certificate (PEM)')
    .option('--s3-client-key <file>', 'the key of the client certificate (PEM)')
    .option('--s3-storage-class <class>', 'store packs in this storage class')
    .option(
      '--s3-object-lock-mode <mode>',
      'governance or compliance: what is written cannot be removed for a time',
      choice('--s3-object-lock-mode', ['governance', 'compliance']),
    )
    .option('--s3-object-lock-days <days>', 'for how many days', days)
    .option('--s3-legal-hold', 'put a legal hold on what is written')
    .option('--s3-connections <n>', 'requests in flight at once (default 5)', connections)
}

/** InvalidInput where one flag needs another. Pure. */
export function parseS3(flags: S3Flags): S3Settings {
  refuseHalf('--s3-client-cert', flags.s3ClientCert, '--s3-client-key', flags.s3ClientKey)
  refuseHalf('--s3-object-lock-mode', flags.s3ObjectLockMode, '--s3-object-lock-days', flags.s3ObjectLockDays)
  const { s3ObjectLockMode: mode, s3ObjectLockDays: days, s3PathStyle: style } = flags
  return {
    region: flags.s3Region,
    pathStyle: style === undefined || style === 'auto' ? undefined : style === 'on',
    caFile: flags.s3CaFile,
    clientCertFile: flags.s3ClientCert,
    clientKeyFile: flags.s3ClientKey,
    storageClass: flags.s3StorageClass,
    objectLock:
      mode === undefined || days === undefined
        ? undefined
        : { mode: mode === 'governance' ? 'GOVERNANCE' : 'COMPLIANCE', days },
    legalHold: flags.s3LegalHold === true,
    connections: flags.s3Connections,
  }
}

function refuseHalf(first: string, firstValue: unknown, second: string, secondValue: unknown): void {
  if ((firstValue === undefined) === (secondValue === undefined)) return
  const [given, missing] = firstValue === undefined ? [second, first] : [first, second]
  throw new HoldfastError('InvalidInput', `${given} was given without ${missing}, expected both or neither`, {
    guidance: `Add ${missing}.`,
  })
}
