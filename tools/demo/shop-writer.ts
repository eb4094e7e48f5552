/**
 * A shop that takes orders without pause: writes to the SQLite database given as argument until it is told to
 * stop. Run as a process of its own, so that the backup meets a database that somebody else has open.
 */
import { DatabaseSync } from 'node:sqlite'

const [path] = process.argv.slice(2)
if (path === undefined) throw new Error('usage: node shop-writer.ts <database>')

const database = new DatabaseSync(path)
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
database.exec(
  'CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER, note TEXT)',
)
const insert = database.prepare('INSERT INTO orders (customer, cents, note) VALUES (?, ?, ?)')
let stopping = false
process.on('SIGTERM', () => {
  stopping = true
})
for (let batch = 0; batch < 100; batch++) takeTwoHundredOrders()
process.send?.('open for business')
takeOrders()

function takeOrders(): void {
  takeTwoHundredOrders()
  if (stopping) database.close()
  else setTimeout(takeOrders, 2)
}

function takeTwoHundredOrders(): void {
  database.exec('BEGIN')
  for (let i = 0; i < 200; i++) {
    const customer = `customer-${Math.floor(Math.random() * 5000)}`
    insert.run(customer, Math.floor(Math.random() * 20_000), 'leave it at the door '.repeat(i % 8))
  }
  database.exec('COMMIT')
}
