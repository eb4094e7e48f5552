/** Polls until `done` holds; fails loudly with `what` after `withinMs`, which bounds a hang, not a measurement. */
export async function waitUntil(what: string, done: () => boolean, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`waited ${withinMs} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
