import { fork } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const mebibyte = 1024 * 1024

/** Makes a shop's directory: product pages, pictures, logs, uploads, and odd things that real trees have. */
export function makeShop(root: string): void {
  for (const folder of ['pages', 'pictures', 'logs', 'uploads', 'database'])
    mkdirSync(join(root, folder), { recursive: true })
  for (let shelf = 0; shelf < 40; shelf++) {
    mkdirSync(join(root, `pages/shelf-${shelf}`))
    for (let page = 0; page < 75; page++)
      writeFileSync(join(root, `pages/shelf-${shelf}/${page}.html`), pageText(shelf, page))
  }
  for (let picture = 0; picture < 6; picture++)
    writeFileSync(join(root, `pictures/${picture}.raw`), randomBytes(12 * mebibyte))
  writeFileSync(join(root, 'logs/access.log'), logText(0, 400_000))
  writeFileSync(join(root, 'uploads/grüße, "zitiert" & neue\nZeile.txt'), 'a name that needs care')
  writeFileSync(join(root, 'uploads/empty'), '')
  writeFileSync(join(root, 'uploads/secret'), 'only for the owner', { mode: 0o600 })
  symlinkSync('../pictures/0.raw', join(root, 'uploads/favourite'))
  linkSync(join(root, 'pictures/1.raw'), join(root, 'uploads/the-same-picture'))
}

/** A day passes: pages are edited, one picture is new, the log grew. */
export function changeShop(root: string): void {
  for (let shelf = 0; shelf < 40; shelf += 4)
    writeFileSync(join(root, `pages/shelf-${shelf}/3.html`), pageText(shelf, 1003))
  writeFileSync(join(root, 'pictures/new.raw'), randomBytes(2 * mebibyte))
  appendFileSync(join(root, 'logs/access.log'), logText(400_000, 5_000))
}

/** What an intruder, a disk or a tired person does. */
export function damageShop(root: string): void {
  rmSync(join(root, 'pages/shelf-7'), { recursive: true })
  rmSync(join(root, 'database'), { recursive: true })
  truncateSync(join(root, 'logs/access.log'), 1000)
  writeFileSync(join(root, 'pictures/2.raw'), randomBytes(12 * mebibyte))
  rmSync(join(root, 'uploads/favourite'))
  writeFileSync(join(root, 'READ_ME_TO_GET_YOUR_FILES_BACK.txt'), 'pay')
}

/** Starts the process that writes to the shop's database; resolves when it is open and has taken its first orders. */
export async function openShop(root: string): Promise<{ stop(): Promise<void> }> {
  const writer = fork(new URL('./shop-writer.ts', import.meta.url), [join(root, 'database/shop.db')], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  await once(writer, 'message')
  return {
    async stop() {
      writer.kill('SIGTERM')
      await once(writer, 'exit')
    },
  }
}

/** A copy of the live database that is one moment of it, made by SQLite itself while the writer goes on. */
export function copyDatabase(root: string): void {
  const database = new DatabaseSync(join(root, 'database/shop.db'))
  database.exec(`VACUUM INTO '${join(root, 'database/shop-at-backup.db').replaceAll("'", "''")}'`)
  database.close()
}

/** Rows in a database that SQLite finds sound; throws when it does not. */
export function countOrders(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true })
  const verdict = database.prepare('PRAGMA integrity_check').get()?.['integrity_check']
  if (verdict !== 'ok') throw new Error(`${path}: SQLite says ${String(verdict)}`)
  const orders = Number(database.prepare('SELECT count(*) AS orders FROM orders').get()?.['orders'])
  database.close()
  return orders
}

function randomBytes(size: number): Buffer {
  return randomFillSync(Buffer.allocUnsafe(size))
}

function pageText(shelf: number, page: number): string {
  const product = `<h1>Product ${shelf}-${page}</h1><p>${'It is good, solid and cheap. '.repeat(20 + ((shelf * page) % 90))}</p>`
  return `<html><body>${product}<a href="/shelf/${shelf}">back</a></body></html>\n`
}

function logText(first: number, count: number): string {
  const line = (i: number) =>
    `10.0.${i % 256}.${(i * 7) % 256} GET /shelf/${i % 40}/${i % 75} 200 ${(i * 2654435761) % 9973}\n`
  return Array.from({ length: count }, (_, i) => line(first + i)).join('')
}
