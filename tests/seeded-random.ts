/** Random numbers that a seed repeats exactly, so that a failing run can be replayed. */
export interface SeededRandom {
  /** The next 32 bits, unsigned. */
  readonly word: () => number
  /** An integer in [0, below). */
  readonly below: (below: number) => number
  /** True with probability `chance`. */
  readonly chance: (chance: number) => boolean
  /** One of `items`, which must not be empty. */
  readonly pick: <T>(items: readonly T[]) => T
  /** `length` bytes that do not compress. */
  readonly bytes: (length: number) => Buffer
}

/** xoshiro128** seeded through splitmix32 (Blackman and Vigna, public domain). */
export function seededRandom(seed: number): SeededRandom {
  const state = seedState(seed)
  const word = (): number => nextWord(state)
  const below = (bound: number): number => Math.floor((word() / 0x1_0000_0000) * bound)
  return {
    word,
    below,
    chance: (chance) => word() / 0x1_0000_0000 < chance,
    pick: (items) => {
      const item = items[below(items.length)]
      if (item === undefined) throw new Error('pick from an empty list')
      return item
    },
    bytes: (length) => {
      const words = new Uint32Array(Math.ceil(length / 4))
      for (let i = 0; i < words.length; i++) words[i] = word()
      return Buffer.from(words.buffer, 0, length)
    },
  }
}

function seedState(seed: number): Uint32Array {
  let x = seed >>> 0
  return Uint32Array.from({ length: 4 }, () => {
    x = (x + 0x9e3779b9) >>> 0
    let z = x
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  })
}

function nextWord(state: Uint32Array): number {
  const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state
  const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0
  const c = s2 ^ s0
  const d = s3 ^ s1
  state[0] = s0 ^ d
  state[1] = s1 ^ c
  state[2] = c ^ (s1 << 9)
  state[3] = rotate(d, 11)
  return result
}

function rotate(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by))
}
