/** Real S3 servers on loopback, each with a fresh directory, for the store's tests. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * versitygw checks signatures, heeds `If-None-Match` and enforces object lock. gofakes3 is an
 * independent second implementation that checks none of that but conditions.
 */
export type S3ServerName = 'versitygw' | 'gofakes3'

export interface S3Server extends AsyncDisposable {
  readonly name: S3ServerName
  /** `http://127.0.0.1:port`, or https with `tls`. */
  readonly endpoint: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface S3ServerOptions {
  /** PEM files; only versitygw serves TLS by itself. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string }
  /** Keep old versions, as AWS does for every bucket with object lock. Only versitygw; off unless told. */
  readonly versioning?: boolean
}

const places: Readonly<
  Record<S3ServerName, { readonly variable: string; readonly probe: readonly string[] }>
> = {
  versitygw: { variable: 'HOLDFAST_VERSITYGW', probe: ['--version'] },
  gofakes3: { variable: 'HOLDFAST_GOFAKES3', probe: ['-h'] },
}

/**
 * The binary that the environment names, else the one on PATH, else undefined: the caller then skips.
 * With HOLDFAST_REQUIRE_PEERS=1 an absent binary is an error, so that CI cannot skip in silence.
 */
export function findS3Server(name: S3ServerName): string | undefined {
  const { variable, probe } = places[name]
  const command = process.env[variable] ?? name
  if (spawnSync(command, probe).error === undefined) return command
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') {
    throw new Error(
      `${name} is required but ${command} does not run; set ${variable} (.ci/install-s3-servers.sh)`,
    )
  }
  return undefined
}

/** Starts a server and waits until it answers. Disposing it ends the process and removes its directory. */
export async function startS3Server(name: S3ServerName, options: S3ServerOptions = {}): Promise<S3Server> {
  const command = findS3Server(name)
  if (command === undefined) throw new Error(`${name} is not here`)
  const directory = mkdtempSync(join(tmpdir(), `holdfast-${name}-`))
  for (const part of ['data', 'versions']) mkdirSync(join(directory, part))
  const key = { accessKeyId: 'holdfast-test', secretAccessKey: 'not-a-secret-at-all' }
  const port = await freePort()
  const { args, env } = commandLine(name, { directory, port, key, options })
  const server = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  server.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000)
  })
  const stop = async (): Promise<void> => {
    await ended(server)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await answering(port, server)
  } catch (error) {
    await stop()
    throw new Error(`${name} did not start: ${said}`, { cause: error })
  }
  const scheme = options.tls === undefined ? 'http' : 'https'
  return { name, endpoint: `${scheme}://127.0.0.1:${port}`, ...key, [Symbol.asyncDispose]: stop }
}

interface Setting {
  readonly directory: string
  readonly port: number
  readonly key: { readonly accessKeyId: string; readonly secretAccessKey: string }
  readonly options: S3ServerOptions
}

function commandLine(
  name: S3ServerName,
  { directory, port, key, options }: Setting,
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  if (name === 'gofakes3')
    return { args: ['-backend', 'memory', '-host', `127.0.0.1:${port}`, '-quiet'], env: {} }
  const tls =
    options.tls === undefined ? [] : ['--cert', options.tls.certificateFile, '--key', options.tls.keyFile]
  const versions = options.versioning === true ? ['--versioning-dir', join(directory, 'versions')] : []
  return {
    args: [
      '--quiet',
      '--keep-alive',
      '--port',
      `127.0.0.1:${port}`,
      ...tls,
      'posix',
      ...versions,
      join(directory, 'data'),
    ],
    env: { ROOT_ACCESS_KEY: key.accessKeyId, ROOT_SECRET_KEY: key.secretAccessKey },
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

async function answering(port: number, server: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (server.exitCode !== null) throw new Error(`it ended with ${server.exitCode}`)
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
      socket.once('error', () => resolve(false))
    })
    if (open) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('no answer in 15 seconds')
}

function ended(server: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (server.exitCode !== null || server.signalCode !== null) return resolve()
    server.once('exit', () => resolve())
    server.kill('SIGKILL')
  })
}
