/**
 * `npm run demo`: a shop's directory is backed up while its database is being written, changed, backed up again,
 * checked, damaged, restored in place, and proved equal file by file. Everything happens in a temporary directory,
 * through the command a person would type. `-- --keep` leaves the directory.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { differences, readManifest } from './demo/manifest.ts'
import { changeShop, copyDatabase, countOrders, damageShop, makeShop, openShop } from './demo/shop.ts'

interface Summary {
  readonly total_files_processed: number
  readonly total_bytes_processed: number
  readonly data_added: number
  readonly data_added_packed?: number
}

const holdfast = join(dirname(dirname(fileURLToPath(import.meta.url))), 'apps/cli/bin/holdfast.js')
const work = mkdtempSync(join(tmpdir(), 'holdfast-demo-'))
const shop = join(work, 'shop')
const repository = join(work, 'repository')

async function demo(): Promise<void> {
  mkdirSync(shop)
  makeShop(shop)
  say(`made a shop of ${readManifest(shop).size} files and folders, ${mib(bytesIn(shop))}`)
  run('init', ['init'])

  const writer = await openShop(shop)
  copyDatabase(shop)
  report(
    'first backup, while the database is being written',
    run('backup', ['backup', shop, '--json'], [0, 3]),
  )
  await writer.stop()

  changeShop(shop)
  report('second backup, a day later', run('backup', ['backup', shop, '--json']))
  const done = run('check', ['check', '--read-data'])
  say(`check --read-data: every byte of the repository read and verified in ${done.seconds}`)

  const before = readManifest(shop)
  const orders = countOrders(join(shop, 'database/shop.db'))
  damageShop(shop)
  say(`damaged the original: ${differences(before, readManifest(shop)).length} paths differ`)
  restore()
  prove(before, orders)
  askRestic()
}

function restore(): void {
  const done = run('restore', ['restore', `latest:${shop}`, '--target', shop, '--delete', '--verify'])
  say(`restored in place, with --delete and --verify, in ${done.seconds}`)
}

function prove(before: ReadonlyMap<string, string>, orders: number): void {
  const different = differences(before, readManifest(shop))
  for (const path of different) say(`DIFFERENT ${JSON.stringify(path)}`)
  if (different.length > 0)
    throw new Error(`${different.length} of ${before.size} paths are not as they were`)
  const found = countOrders(join(shop, 'database/shop.db'))
  if (found !== orders) throw new Error(`the database has ${found} orders and had ${orders}`)
  say(`equal: content, owner, mode, links and nanosecond times of all ${before.size} paths`)
  say(
    `the database is sound and has its ${orders} orders; the copy from the live one has ${countOrders(join(shop, 'database/shop-at-backup.db'))}`,
  )
}

/** Not needed for the demo, but if a stock restic is at hand, its word counts more than ours. */
function askRestic(): void {
  const env = { ...process.env, RESTIC_PASSWORD: 'demo' }
  const { status, error } = spawnSync(
    'restic',
    ['-q', '-r', repository, '--no-cache', 'check', '--read-data'],
    { env },
  )
  if (error) say('no stock restic here to ask for a second opinion')
  else if (status === 0) say('stock restic finds no error in the repository either')
  else throw new Error(`stock restic check ended with ${status}`)
}

function run(
  verb: string,
  args: readonly string[],
  allowed: readonly number[] = [0],
): { seconds: string; stdout: string } {
  const startedAt = performance.now()
  const { status, stdout, stderr } = spawnSync(process.execPath, [holdfast, 'archive', ...args], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: {
      ...process.env,
      HOLDFAST_REPOSITORY: repository,
      HOLDFAST_PASSWORD: 'demo',
      HOLDFAST_CACHE_DIR: join(work, 'cache'),
    },
  })
  if (status === null || !allowed.includes(status)) {
    throw new Error(`holdfast archive ${verb} ended with ${status}\n${stdout}${stderr}`)
  }
  return { seconds: `${((performance.now() - startedAt) / 1000).toFixed(2)} s`, stdout }
}

function report(title: string, { seconds, stdout }: { seconds: string; stdout: string }): void {
  const lines = stdout.trim().split('\n')
  const summary: Summary | undefined = lines
    .map((line) => JSON.parse(line))
    .find((each) => each.message_type === 'summary')
  if (summary === undefined) throw new Error(`${title}: no summary in\n${stdout}`)
  const stored = summary.data_added_packed ?? summary.data_added
  const saved = (summary.total_bytes_processed / Math.max(1, stored)).toFixed(1)
  say(`${title}: ${summary.total_files_processed} files, ${mib(summary.total_bytes_processed)} in ${seconds}`)
  say(`  new ${mib(summary.data_added)}, stored as ${mib(stored)}: 1/${saved} of what was protected`)
}

function bytesIn(root: string): number {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  return entries.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`
}

function say(line: string): void {
  console.log(line)
}

try {
  await demo()
} finally {
  if (process.argv.includes('--keep')) say(`kept ${work}`)
  else rmSync(work, { recursive: true, force: true })
}
