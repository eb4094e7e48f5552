import { HoldfastError, isHoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import type { MasterKey } from '../format/key-file.ts'
import { addKeyFile, findMasterKey, loadKeyFile, type ScryptCost } from '../repository/master-key.ts'
import type { Repository } from '../repository/repository.ts'
import { type LockedOptions, underLock } from './under-lock.ts'

export interface KeyListing {
  readonly id: Hex
  /** The one that opened the repository. */
  readonly current: boolean
  readonly username: string
  readonly hostname: string
  /** RFC 3339, as stored. */
  readonly created: string
  /** Set when the key file cannot be read; the other members are empty then. */
  readonly error?: HoldfastError
}

export interface NewKeyOptions extends LockedOptions {
  readonly password: string | Uint8Array
  readonly username?: string
  readonly hostname?: string
  /** Cost of guessing the password; only tests lower it. */
  readonly cost?: ScryptCost
}

/** Every key file, the unreadable ones too. */
export async function listKeys(repo: Repository): Promise<readonly KeyListing[]> {
  const listing: KeyListing[] = []
  for (const { id } of await repo.listFiles('key')) {
    const current = id === repo.keyId
    try {
      const { username, hostname, created } = await loadKeyFile(repo.store, id)
      listing.push({ id, current, username, hostname, created })
    } catch (error) {
      if (!isHoldfastError(error) || error.code === 'StoreUnavailable') {
        throw error
      }
      listing.push({ id, current, username: '', hostname: '', created: '', error })
    }
  }
  return listing.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

/**
 * Adds a password. The new key file wraps the same master key; it is opened once with the new password before
 * success is reported, and removed again if that fails. Returns its id. InvalidInput for an empty password.
 */
export async function addKey(repo: Repository, options: NewKeyOptions): Promise<Hex> {
  return await underLock(repo, 'shared', options, async () => await addVerifiedKey(repo, options))
}

/**
 * Removes a password. `ref` is an id or a prefix. Refuses the key that opened the repository (InvalidInput), so
 * that nobody locks themselves out; NotFound and Ambiguous when `ref` does not name exactly one.
 */
export async function removeKey(repo: Repository, ref: string, options: LockedOptions = {}): Promise<Hex> {
  return await underLock(repo, 'exclusive', options, async () => {
    const matches = (await repo.listFiles('key')).map(({ id }) => id).filter((id) => id.startsWith(ref))
    const [id] = matches
    if (id === undefined || ref === '') {
      throw new HoldfastError('NotFound', `no key has an id that starts with "${ref}"`, {
        guidance: 'See key list for the ids.',
      })
    }
    if (matches.length > 1) {
      throw new HoldfastError('Ambiguous', `${matches.length} keys have an id that starts with "${ref}"`, {
        guidance: 'Give more digits of the id.',
      })
    }
    if (id === repo.keyId) {
      throw new HoldfastError(
        'InvalidInput',
        'this key opened the repository; removing it could lock you out',
        {
          place: `key/${id}`,
          guidance: 'Open the repository with another password to remove this one, or use key passwd.',
        },
      )
    }
    await repo.removeFile('key', id)
    return id
  })
}

/**
 * Replaces the password the repository was opened with: adds the new key, proves that it opens, and only then
 * removes the old one. Interrupted in between, both passwords work.
 */
export async function changePassword(
  repo: Repository,
  options: NewKeyOptions,
): Promise<{ readonly added: Hex; readonly removed: Hex }> {
  return await underLock(repo, 'exclusive', options, async () => {
    const added = await addVerifiedKey(repo, options)
    await repo.removeFile('key', repo.keyId)
    return { added, removed: repo.keyId }
  })
}

async function addVerifiedKey(repo: Repository, options: NewKeyOptions): Promise<Hex> {
  const { password, username, hostname, cost } = options
  const id = await addKeyFile(repo.store, repo.primitives, {
    masterKey: repo.masterKey,
    password,
    ...(username === undefined ? {} : { username }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(cost === undefined ? {} : { cost }),
  })
  try {
    await loadKeyFile(repo.store, id)
    const { masterKey } = await findMasterKey(repo.store, repo.primitives, password)
    if (!sameMasterKey(masterKey, repo.masterKey)) {
      throw new HoldfastError('Damaged', 'the new key opens, but holds another master key', {
        place: `key/${id}`,
      })
    }
    return id
  } catch (error) {
    await repo.removeFile('key', id)
    throw error
  }
}

function sameMasterKey(a: MasterKey, b: MasterKey): boolean {
  return a.encrypt.equals(b.encrypt) && a.macK.equals(b.macK) && a.macR.equals(b.macR)
}
