/**
 * How many packs may be on their way from the workers to a store, over all threads. A worker fills
 * packs within one job faster than a slow store takes them; without a bound they would pile up in the
 * main thread's memory.
 */
export interface UploadSlots {
  readonly memory: SharedArrayBuffer
  /** Takes a slot; blocks this thread until there is one. Never to be called where `leave` is. */
  enter(): void
  /** Gives a slot back. */
  leave(): void
}

const TAKEN = 0
const LIMIT = 1

/** Memory for openUploadSlots, to be shared between threads. */
export function uploadSlots(limit: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(8)
  new Int32Array(memory)[LIMIT] = limit
  return memory
}

export function openUploadSlots(memory: SharedArrayBuffer): UploadSlots {
  const words = new Int32Array(memory)
  const limit = words[LIMIT] ?? 1
  return {
    memory,
    enter() {
      for (;;) {
        const taken = Atomics.load(words, TAKEN)
        if (taken >= limit) Atomics.wait(words, TAKEN, taken)
        else if (Atomics.compareExchange(words, TAKEN, taken, taken + 1) === taken) return
      }
    },
    leave() {
      Atomics.sub(words, TAKEN, 1)
      Atomics.notify(words, TAKEN, 1)
    },
  }
}
