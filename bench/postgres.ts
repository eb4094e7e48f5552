/** A PostgreSQL data directory before and after work was done on it, by Debian's own server binaries. */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'

export interface PostgresData {
  /** The directory to back up; holds the state before, until `change`. */
  readonly dir: string
  /** Copies what changed over `dir` in place; the returned function puts it back. */
  readonly change: () => () => void
}

/** initdb and pgbench at `scale` (15 MB each), then `transactions` more in a copy. Undefined without PostgreSQL. */
export function makePostgres(base: string, scale: number, transactions: number): PostgresData | undefined {
  const [bin] = globSync('/usr/lib/postgresql/*/bin').sort().reverse()
  if (bin === undefined) return undefined
  const [before, after, dir] = [`${base}/before`, `${base}/after`, `${base}/data`]
  const label = `${base}/made-${scale}-${transactions}`
  if (!existsSync(label)) {
    rmSync(base, { recursive: true, force: true })
    mkdirSync(base, { recursive: true })
    asPostgres('chown', ['postgres', base], true)
    makeCluster(bin, before, scale)
    asPostgres('cp', ['-a', before, after])
    work(bin, after, ['-c', '2', '-t', String(transactions / 2)])
    asPostgres('cp', ['-a', before, dir])
    writeFileSync(label, '')
  }
  overlay(before, dir)
  return {
    dir,
    change: () => {
      overlay(after, dir)
      return () => overlay(before, dir)
    },
  }
}

function makeCluster(bin: string, dir: string, scale: number): void {
  asPostgres(`${bin}/initdb`, ['-k', '--auth', 'trust', '-D', dir])
  work(bin, dir, ['-i', '-q', '-s', String(scale)])
}

/** Starts the server on a socket of its own, runs pgbench once, and stops it cleanly. */
function work(bin: string, dir: string, pgbench: readonly string[]): void {
  const start = ['-w', '-D', dir, '-l', `${dir}.log`, '-o', `-k ${dir} -c listen_addresses=`, 'start']
  asPostgres(`${bin}/pg_ctl`, start)
  try {
    asPostgres(`${bin}/pgbench`, ['-h', dir, ...pgbench, 'postgres'])
  } finally {
    asPostgres(`${bin}/pg_ctl`, ['-w', '-D', dir, '-m', 'fast', 'stop'])
  }
}

/** PostgreSQL refuses to run as root, so root steps down to the package's own user. */
function asPostgres(program: string, args: readonly string[], asRoot = false): void {
  const root = process.getuid?.() === 0
  if (asRoot && !root) return
  const command = root && !asRoot ? ['runuser', '-u', 'postgres', '--', program, ...args] : [program, ...args]
  const run = spawnSync(command[0] ?? '', command.slice(1), {
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  })
  if (run.status !== 0) throw new Error(`${command.join(' ')}: ${run.stderr}`)
}

/** Makes `to` equal to `from`, writing only files whose bytes differ, in place. */
function overlay(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  const names = new Set(readdirSync(from))
  for (const name of readdirSync(to)) if (!names.has(name)) rmSync(`${to}/${name}`, { recursive: true })
  for (const name of names) {
    const [source, target] = [`${from}/${name}`, `${to}/${name}`]
    if (lstatSync(source).isDirectory()) overlay(source, target)
    else if (lstatSync(source).isFile() && !sameBytes(source, target)) copyFileSync(source, target)
  }
}

function sameBytes(a: string, b: string): boolean {
  if (!existsSync(b) || lstatSync(a).size !== lstatSync(b).size) return false
  return readFileSync(a).equals(readFileSync(b))
}
