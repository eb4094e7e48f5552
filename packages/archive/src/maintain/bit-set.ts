/** A set of small whole numbers, one bit each. Numbers at or over `size` are not members and are not added. */
export interface BitSet {
  readonly size: number
  has(n: number): boolean
  /** True when `n` was not a member before. */
  add(n: number): boolean
  delete(n: number): void
  /** How many members there are; counts them anew. */
  count(): number
}

/** An empty set for numbers from 0 to `size - 1`. */
export function createBitSet(size: number): BitSet {
  const bits = new Uint8Array(Math.ceil(size / 8))
  const at = (n: number): number => bits[n >>> 3] ?? 0
  return {
    size,
    has: (n) => (at(n) & (1 << (n & 7))) !== 0,
    add(n) {
      const before = at(n)
      const after = before | (1 << (n & 7))
      bits[n >>> 3] = after
      return before !== after
    },
    delete(n) {
      bits[n >>> 3] = at(n) & ~(1 << (n & 7))
    },
    count() {
      let members = 0
      for (const byte of bits) {
        for (let rest = byte; rest !== 0; rest &= rest - 1) {
          members += 1
        }
      }
      return members
    },
  }
}
