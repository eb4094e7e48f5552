import { HoldfastError } from '@holdfast/contract'
import type { Hex } from '../format/ids.ts'
import { type IndexPack, type ScannedBlob, scanIndexFile } from '../format/index-file.ts'
import { type BlobType, type PackedBlob, SEAL_OVERHEAD } from '../format/pack-header.ts'

export interface BlobLocation {
  readonly packId: Hex
  /** Bytes from the start of the pack. */
  readonly offset: number
  /** Sealed length in bytes. */
  readonly length: number
  /** Plain length in bytes when compressed; 0 when stored as it is. */
  readonly uncompressedLength: number
}

/** Where every blob is, over all index files. Read-only for everyone but the loader. */
export interface BlobIndex {
  /** Distinct blobs; the same id as tree and as data counts twice. */
  readonly size: number
  /** Index files this was read from. */
  readonly indexFiles: readonly Hex[]
  has(type: BlobType, id: Hex): boolean
  /** Every stored copy, in the order met; empty when unknown. */
  find(type: BlobType, id: Hex): readonly BlobLocation[]
  /** Plain length in bytes, whatever the encoding. */
  plainLength(type: BlobType, id: Hex): number | undefined
  packs(): IterableIterator<Hex>
  hasPack(packId: Hex): boolean
  /** Blobs of one pack by offset; empty when unknown. */
  packBlobs(packId: Hex): readonly PackedBlob[]
  /** Every stored copy of every blob, pack by pack in no promised order. */
  each(visit: (type: BlobType, id: Hex, location: BlobLocation) => void): void
  /** Ids of one type as raw bytes; the view passed is reused between calls. */
  eachId(type: BlobType, visit: (id: Uint8Array) => void): void
}

/** A BlobIndex still being filled. */
export interface BlobIndexBuilder extends BlobIndex {
  /** Adds a pack's blobs; a pack met again adds only blobs not yet known for it. */
  addPack(pack: IndexPack): void
  /** Adds what an index file says, without an object per blob. Throws as decodeIndexFile does, with part of the file added. */
  readIndexFile(id: Hex, json: Uint8Array): void
  /** Notes an index file whose packs were added one by one. */
  addIndexFile(id: Hex): void
}

const TREE_BIT = 0x80000000
const PACK_MASK = 0x7fffffff
const ID_BYTES = 32

interface Table {
  count: number
  ids: Buffer
  /** Pack number; the top bit tells a tree from data. */
  packs: Uint32Array
  offsets: Uint32Array
  lengths: Uint32Array
  plains: Uint32Array
  /** Open addressing over entries: 0 is empty, otherwise entry + 1. */
  slots: Uint32Array
}

/**
 * An empty index. Entries live in flat arrays, 48 bytes each and 4 to 8 for the hash slot, because a
 * repository of 10 TB has some 10 million of them and an object each would not fit in memory.
 */
export function createBlobIndex(expectedBlobs = 1024): BlobIndexBuilder {
  return new BlobTable(Math.max(1024, expectedBlobs))
}

/**
 * At most how many blobs index files of these sizes (bytes, as stored) name: an entry takes at least 40, 32 of them a
 * hash that does not compress. Room that is not needed is never touched and costs nothing; growing would for a moment
 * hold everything twice.
 */
export function expectedBlobs(files: readonly { readonly size: number }[]): number {
  return Math.ceil(files.reduce((sum, { size }) => sum + size, 0) / 40)
}

class BlobTable implements BlobIndexBuilder {
  readonly indexFiles: Hex[] = []
  readonly #table: Table
  /** Entries beyond the first of a blob, by that first one. */
  readonly #copies = new Map<number, number[]>()
  readonly #packIds: Hex[] = []
  readonly #packNumbers = new Map<Hex, number>()
  readonly #key = Buffer.alloc(ID_BYTES)
  #extraCopies = 0
  #byPack: { readonly starts: Uint32Array; readonly entries: Uint32Array } | undefined

  constructor(capacity: number) {
    this.#table = emptyTable(capacity)
  }

  get size(): number {
    return this.#table.count - this.#extraCopies
  }

  has(type: BlobType, id: Hex): boolean {
    return this.#firstEntry(type, id) >= 0
  }

  find(type: BlobType, id: Hex): readonly BlobLocation[] {
    const first = this.#firstEntry(type, id)
    if (first < 0) return []
    return [first, ...(this.#copies.get(first) ?? [])].map((entry) => this.#location(entry))
  }

  plainLength(type: BlobType, id: Hex): number | undefined {
    const entry = this.#firstEntry(type, id)
    if (entry < 0) return undefined
    return at(this.#table.plains, entry) || at(this.#table.lengths, entry) - SEAL_OVERHEAD
  }

  packs(): IterableIterator<Hex> {
    return this.#packIds.values()
  }

  hasPack(packId: Hex): boolean {
    return this.#packNumbers.has(packId)
  }

  packBlobs(packId: Hex): readonly PackedBlob[] {
    const number = this.#packNumbers.get(packId)
    if (number === undefined) return []
    this.#byPack ??= groupByPack(this.#table, this.#packIds.length)
    const { starts, entries } = this.#byPack
    const own = [...entries.subarray(at(starts, number), at(starts, number + 1))]
    return own.map((entry) => this.#packedBlob(entry)).sort((a, b) => a.offset - b.offset)
  }

  each(visit: (type: BlobType, id: Hex, location: BlobLocation) => void): void {
    for (let entry = 0; entry < this.#table.count; entry++) {
      visit(this.#type(entry), idAt(this.#table, entry), this.#location(entry))
    }
  }

  eachId(type: BlobType, visit: (id: Uint8Array) => void): void {
    const { ids, count } = this.#table
    for (let entry = 0; entry < count; entry++) {
      if (this.#type(entry) === type) visit(ids.subarray(entry * ID_BYTES, entry * ID_BYTES + ID_BYTES))
    }
  }

  addPack(pack: IndexPack): void {
    const number = this.#packNumber(pack.id)
    for (const blob of pack.blobs) {
      this.#key.write(blob.id, 'hex')
      this.#add(number, blob)
    }
  }

  addIndexFile(id: Hex): void {
    this.indexFiles.push(id)
  }

  readIndexFile(id: Hex, json: Uint8Array): void {
    let number = 0
    scanIndexFile(json, `index/${id}`, {
      pack: (bytes) => {
        number = this.#packNumber(Buffer.from(bytes).toString('hex'))
      },
      blob: (blob) => {
        this.#key.set(blob.id)
        this.#add(number, blob)
      },
      // superseded files are read as well: a blob known twice does no harm, one missed would
      supersedes: () => undefined,
    })
    this.addIndexFile(id)
  }

  #firstEntry(type: BlobType, id: Hex): number {
    // an id of another length would leave part of the last one in the key
    if (id.length !== 2 * ID_BYTES || this.#key.write(id, 'hex') !== ID_BYTES) return -1
    return lookUp(this.#table, this.#key, type === 'tree')
  }

  /** Adds the blob whose id is in the key. */
  #add(packNumber: number, blob: Omit<PackedBlob, 'id'> | ScannedBlob): void {
    const table = this.#table
    const first = lookUp(table, this.#key, blob.type === 'tree')
    const copies = this.#copies.get(first) ?? []
    const known = first < 0 ? [] : [first, ...copies]
    const isHere = (e: number): boolean =>
      (at(table.packs, e) & PACK_MASK) === packNumber && at(table.offsets, e) === blob.offset
    if (known.some(isHere)) return
    const entry = append(table, this.#key, { ...blob, packNumber })
    if (first < 0) return insertSlot(table, entry)
    this.#copies.set(first, [...copies, entry])
    this.#extraCopies++
  }

  #packNumber(id: Hex): number {
    this.#byPack = undefined
    const known = this.#packNumbers.get(id)
    if (known !== undefined) return known
    const number = this.#packIds.push(id) - 1
    this.#packNumbers.set(id, number)
    return number
  }

  #type(entry: number): BlobType {
    return at(this.#table.packs, entry) >= TREE_BIT ? 'tree' : 'data'
  }

  #location(entry: number): BlobLocation {
    const { packs, offsets, lengths, plains } = this.#table
    return {
      packId: this.#packIds[at(packs, entry) & PACK_MASK] ?? '',
      offset: at(offsets, entry),
      length: at(lengths, entry),
      uncompressedLength: at(plains, entry),
    }
  }

  #packedBlob(entry: number): PackedBlob {
    const { packId: _packId, ...extent } = this.#location(entry)
    return { type: this.#type(entry), id: idAt(this.#table, entry), ...extent }
  }
}

function emptyTable(capacity: number): Table {
  return {
    count: 0,
    ids: Buffer.alloc(capacity * ID_BYTES),
    packs: new Uint32Array(capacity),
    offsets: new Uint32Array(capacity),
    lengths: new Uint32Array(capacity),
    plains: new Uint32Array(capacity),
    slots: new Uint32Array(2 ** Math.ceil(Math.log2(capacity * 1.5))),
  }
}

// Ids are SHA-256 values: any four of their bytes are as good a hash as can be had.
function lookUp(table: Table, id: Buffer, tree: boolean): number {
  const mask = table.slots.length - 1
  for (let slot = id.readUInt32LE(0) & mask; ; slot = (slot + 1) & mask) {
    const entry = at(table.slots, slot) - 1
    if (entry < 0) return -1
    if (at(table.packs, entry) >= TREE_BIT === tree && sameId(table.ids, entry * ID_BYTES, id)) return entry
  }
}

function sameId(ids: Buffer, start: number, id: Buffer): boolean {
  for (let i = 0; i < ID_BYTES; i++) if (ids[start + i] !== id[i]) return false
  return true
}

interface NewEntry {
  readonly type: BlobType
  readonly packNumber: number
  readonly offset: number
  readonly length: number
  readonly uncompressedLength: number
}

function append(table: Table, id: Buffer, blob: NewEntry): number {
  if (table.count === table.packs.length) grow(table)
  const entry = table.count++
  id.copy(table.ids, entry * ID_BYTES)
  table.packs[entry] = blob.packNumber + (blob.type === 'tree' ? TREE_BIT : 0)
  table.offsets[entry] = blob.offset
  table.lengths[entry] = blob.length
  table.plains[entry] = blob.uncompressedLength
  return entry
}

function insertSlot(table: Table, entry: number): void {
  const mask = table.slots.length - 1
  let slot = table.ids.readUInt32LE(entry * ID_BYTES) & mask
  while (table.slots[slot] !== 0) slot = (slot + 1) & mask
  table.slots[slot] = entry + 1
}

function grow(table: Table): void {
  const old = { ...table }
  Object.assign(table, emptyTable(Math.ceil(old.packs.length * 1.6)), { count: old.count })
  table.ids.set(old.ids)
  table.packs.set(old.packs)
  table.offsets.set(old.offsets)
  table.lengths.set(old.lengths)
  table.plains.set(old.plains)
  // only first copies had a slot
  for (const entry of old.slots) if (entry !== 0) insertSlot(table, entry - 1)
}

/** Entries sorted by pack: those of pack n are entries[starts[n]] up to entries[starts[n + 1]]. */
function groupByPack(table: Table, packCount: number): { starts: Uint32Array; entries: Uint32Array } {
  const starts = new Uint32Array(packCount + 1)
  for (let e = 0; e < table.count; e++)
    starts[(at(table.packs, e) & PACK_MASK) + 1] = at(starts, (at(table.packs, e) & PACK_MASK) + 1) + 1
  for (let p = 0; p < packCount; p++) starts[p + 1] = at(starts, p + 1) + at(starts, p)
  const next = starts.slice()
  const entries = new Uint32Array(table.count)
  for (let e = 0; e < table.count; e++) {
    const pack = at(table.packs, e) & PACK_MASK
    entries[at(next, pack)] = e
    next[pack] = at(next, pack) + 1
  }
  return { starts, entries }
}

function idAt(table: Table, entry: number): Hex {
  return table.ids.toString('hex', entry * ID_BYTES, entry * ID_BYTES + ID_BYTES)
}

function at(array: Uint32Array, index: number): number {
  const value = array[index]
  if (value === undefined)
    throw new HoldfastError('Internal', `blob index read at ${index} of ${array.length}`)
  return value
}
