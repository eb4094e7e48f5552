import { expect, test } from 'vitest'
import type { Hex } from '../format/ids.ts'
import { decodeTree, type TreeNode } from '../format/tree.ts'
import { walkTree } from './walk-tree.ts'

const id = (name: string): Hex => Buffer.from(name).toString('hex').padEnd(64, '0')
const times = '"mtime":"2020-01-01T00:00:00Z","atime":"2020-01-01T00:00:00Z","ctime":"2020-01-01T00:00:00Z"'

/** A tree of directories from an outline such as { a: { b: {} }, c: {} }. */
interface Outline {
  readonly [name: string]: Outline
}

function sourceOf(outline: Outline) {
  const trees = new Map<Hex, readonly TreeNode[]>()
  const add = (path: string, at: Outline): Hex => {
    const nodes = Object.keys(at)
      .toSorted()
      .map(
        (name) =>
          `{"name":"${name}","type":"dir",${times},"uid":0,"gid":0,"subtree":"${add(path + name, at[name] ?? {})}"}`,
      )
    trees.set(id(path), decodeTree(Buffer.from(`{"nodes":[${nodes.join(',')}]}`), path))
    return id(path)
  }
  let running = 0
  let most = 0
  const loaded: Hex[] = []
  return {
    root: add('/', outline),
    loaded,
    most: () => most,
    async loadTree(tree: Hex): Promise<readonly TreeNode[]> {
      loaded.push(tree)
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      const nodes = trees.get(tree)
      if (nodes === undefined) throw new Error(`no tree ${tree}`)
      return nodes
    },
  }
}

const outline = { a: { x: {}, y: {} }, b: {}, c: { z: { deep: {} } }, d: {} }

test('entries come depth first in name order, and a directory is left after its children', async () => {
  const source = sourceOf(outline)
  const events = await Array.fromAsync(walkTree(source, source.root))
  const told = events.map((event) =>
    event.kind === 'leave' ? `-${event.path}` : event.kind === 'node' ? event.path : '!',
  )
  expect(told.join(' ')).toBe(
    '/a /a/x -/a/x /a/y -/a/y -/a /b -/b /c /c/z /c/z/deep -/c/z/deep -/c/z -/c /d -/d',
  )
})

test('loading ahead changes neither order nor number of loads, only how many run at once', async () => {
  const [plain, eager] = [sourceOf(outline), sourceOf(outline)]
  const expected = await Array.fromAsync(walkTree(plain, plain.root))
  const found = await Array.fromAsync(walkTree(eager, eager.root, { ahead: { count: 3 } }))
  expect(found).toEqual(expected)
  expect(eager.loaded.toSorted()).toEqual(plain.loaded.toSorted())
  expect(plain.most()).toBe(1)
  expect(eager.most()).toBeGreaterThan(2)
  expect(eager.most()).toBeLessThanOrEqual(4)
})

test('what is not wanted is not loaded ahead, and what is not entered is not seen', async () => {
  const source = sourceOf(outline)
  const wanted = (path: string): boolean => path !== '/c'
  const events = await Array.fromAsync(
    walkTree(source, source.root, { descend: wanted, ahead: { count: 9, wanted } }),
  )
  expect(events.some((event) => event.kind === 'node' && event.path === '/c/z')).toBe(false)
  expect(source.loaded).not.toContain(id('/c'))
})
