import { spawnSync } from 'node:child_process'

/** A stock restic binary that the tests run against. */
export interface Peer {
  readonly name: PeerName
  readonly command: string
  /** As the binary itself says, for example `0.19.1`. */
  readonly version: string
}

export type PeerName = 'restic-old' | 'restic-new'

const places: Readonly<Record<PeerName, { readonly variable: string; readonly onPath: string }>> = {
  'restic-old': { variable: 'HOLDFAST_RESTIC_OLD', onPath: 'restic' },
  'restic-new': { variable: 'HOLDFAST_RESTIC_NEW', onPath: 'restic19' },
}

/**
 * The binary that the environment names, else the one on PATH, else undefined: the caller then skips.
 * With HOLDFAST_REQUIRE_PEERS=1 an absent binary is an error, so that CI cannot skip in silence.
 */
export function findPeer(name: PeerName): Peer | undefined {
  const { variable, onPath } = places[name]
  const command = process.env[variable] ?? onPath
  const answer = spawnSync(command, ['version'], { encoding: 'utf8' })
  const version = /restic (\d+\.\d+\.\d+)/.exec(answer.stdout ?? '')?.[1]
  if (answer.status === 0 && version !== undefined) return { name, command, version }
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') {
    throw new Error(`${name} is required but ${command} does not run; set ${variable}`)
  }
  return undefined
}
