import { HoldfastError } from '@holdfast/contract'
import type { Hex } from './ids.ts'
import { type At, mismatch, parseJsonObject, readHex, readInteger, readString, U32 } from './json-document.ts'

/** The `config` file of a repository. Whether the polynomial is irreducible is not known here. */
export interface RepositoryConfig {
  readonly version: 1 | 2
  readonly id: Hex
  readonly chunkerPolynomial: bigint
}

/** The config as restic writes it, byte for byte. */
export function encodeConfig(config: RepositoryConfig): Buffer {
  const polynomial = config.chunkerPolynomial.toString(16)
  return Buffer.from(`{"version":${config.version},"id":"${config.id}","chunker_polynomial":"${polynomial}"}`)
}

/**
 * The config in a decrypted config file. Throws UnsupportedFormat for a version other than 1 and 2,
 * Damaged or LimitExceeded for anything malformed.
 */
export function decodeConfig(bytes: Uint8Array, place: string): RepositoryConfig {
  const raw = parseJsonObject(bytes, place, MAX_CONFIG_BYTES)
  const at: At = { place, pointer: '' }
  const version = readInteger(raw, 'version', at, U32)
  if (version !== 1 && version !== 2) {
    throw new HoldfastError('UnsupportedFormat', `found repository version ${version}, expected 1 or 2`, {
      place: `${place}#/version`,
      retry: 'never',
      guidance: 'Use a newer Holdfast for this repository.',
    })
  }
  const polynomial = readString(raw, 'chunker_polynomial', at)
  if (!/^[0-9a-f]{1,16}$/.test(polynomial))
    throw mismatch(polynomial, '1 to 16 hex digits', at, 'chunker_polynomial')
  return { version, id: readHex(raw, 'id', at), chunkerPolynomial: BigInt(`0x${polynomial}`) }
}

const MAX_CONFIG_BYTES = 1024 * 1024
