import { randomBytes } from 'node:crypto'
import { HoldfastError } from '@holdfast/contract'
import { openPrimitives } from '../engine/primitives.ts'
import { openSealer } from '../engine/sealer.ts'
import { encodeConfig, type RepositoryConfig } from '../format/config.ts'
import { SEAL_OVERHEAD } from '../format/pack-header.ts'
import { degree, isIrreducible, POLYNOMIAL_DEGREE, randomPolynomial } from '../kernel/polynomial.ts'
import type { BlobStore } from '../stores/blob-store.ts'
import { addKeyFile, randomMasterKey, type ScryptCost } from './master-key.ts'
import { DEFAULT_COMPRESSION_LEVEL, type Repository, repositoryOn } from './repository.ts'

export interface InitRepositoryOptions {
  readonly password: string | Uint8Array
  /** Format version; 2 by default. Version 1 does not compress and exists for old readers. */
  readonly version?: 1 | 2
  /** Takes another repository's chunker polynomial, so that copies between the two deduplicate. */
  readonly polynomial?: bigint
  /** Cost of guessing the password; only tests lower it. */
  readonly scryptCost?: ScryptCost
  readonly compressionLevel?: number
}

/**
 * Makes a repository: layout, one key, and last the config, whose presence is what makes it one. An
 * interrupted init can be run again. RepositoryExists when there is a config already.
 */
export async function initRepository(store: BlobStore, options: InitRepositoryOptions): Promise<Repository> {
  const config = newConfig(options)
  await refuseExisting(store)
  await store.create()
  const level = options.compressionLevel ?? DEFAULT_COMPRESSION_LEVEL
  const primitives = openPrimitives({ level: Math.max(1, level) })
  const masterKey = randomMasterKey()
  const keyId = await addKeyFile(store, primitives, {
    masterKey,
    password: options.password,
    ...(options.scryptCost === undefined ? {} : { cost: options.scryptCost }),
  })
  const sealer = openSealer(masterKey, primitives)
  const plain = encodeConfig(config)
  const sealed = Buffer.alloc(plain.length + SEAL_OVERHEAD)
  sealer.seal(plain, sealed)
  await saveConfig(store, sealed, () => store.remove({ type: 'key', id: keyId }))
  return repositoryOn({
    store,
    config,
    keyId,
    masterKey,
    primitives,
    sealer,
    compressionLevel: config.version === 1 ? 0 : level,
  })
}

function newConfig(options: InitRepositoryOptions): RepositoryConfig {
  const polynomial = options.polynomial ?? randomPolynomial()
  if (degree(polynomial) !== POLYNOMIAL_DEGREE || !isIrreducible(polynomial)) {
    throw new HoldfastError(
      'InvalidInput',
      `the chunker polynomial 0x${polynomial.toString(16)} is not irreducible of degree 53`,
    )
  }
  return { version: options.version ?? 2, id: randomBytes(32).toString('hex'), chunkerPolynomial: polynomial }
}

async function refuseExisting(store: BlobStore): Promise<void> {
  const there = await store.stat({ type: 'config', id: '' }).then(
    () => true,
    (error: unknown) => {
      if (error instanceof HoldfastError && error.code === 'NotFound') return false
      throw error
    },
  )
  if (!there) return
  throw new HoldfastError('RepositoryExists', `there is a repository at ${store.location} already`, {
    place: `${store.location}: config`,
    guidance: 'Use it, or give another location.',
  })
}

/** Two inits at once: the store lets one config through; the other takes its key back. */
async function saveConfig(store: BlobStore, sealed: Buffer, takeBack: () => Promise<void>): Promise<void> {
  try {
    await store.save({ type: 'config', id: '' }, sealed)
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'RepositoryExists') await takeBack()
    throw error
  }
}
