import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { treeNode, treeNodes } from './samples.testing.ts'
import { decodeTree, encodeNode, encodeTree, type TreeNode } from './tree.ts'

const ID = 'ab'.repeat(32)
const TIME = '2024-05-06T07:08:09.12Z'
const minimal = `"type":"file","mtime":"${TIME}","atime":"${TIME}","ctime":"${TIME}","uid":0,"gid":0`
const node = (members: string) => `{"name":"a",${minimal}${members}}`
const decode = (...nodes: readonly string[]) => decodeTree(encodeTree(nodes), 'tree/x')
const refusal = (code: string, place: string) => expect.objectContaining({ code, place })

const plain: TreeNode = {
  name: 'a',
  type: 'file',
  mode: 0,
  mtime: TIME,
  atime: TIME,
  ctime: TIME,
  uid: 0,
  gid: 0,
  user: '',
  group: '',
  inode: 0n,
  deviceId: 0n,
  size: 0,
  links: 0,
  linktarget: '',
  xattrs: [],
  device: 0n,
  content: null,
  subtree: null,
}

describe('trees', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(treeNodes, (nodes) => {
        expect(decodeTree(encodeTree(nodes.map(encodeNode)), 'tree')).toEqual(nodes)
      }),
      { numRuns: 300 },
    )
  })

  it('are the same bytes after decoding and encoding', () => {
    fc.assert(
      fc.property(treeNode, (one) => {
        const bytes = encodeTree([encodeNode(one)])
        expect(encodeTree(decodeTree(bytes, 'tree').map(encodeNode))).toEqual(bytes)
      }),
      { numRuns: 300 },
    )
  })

  it('are JSON that anybody reads', () => {
    fc.assert(
      fc.property(treeNodes, (nodes) => void JSON.parse(encodeTree(nodes.map(encodeNode)).toString())),
    )
  })

  it('leave out what Go leaves out', () => {
    expect(encodeNode(plain)).toBe(`{"name":"a",${minimal},"content":null}`)
  })

  it('write every member in restic’s order', () => {
    const full: TreeNode = {
      ...plain,
      name: 'é\udcff"<',
      mode: 420,
      uid: 1,
      gid: 2,
      user: 'u&',
      group: 'g',
      inode: 18446744073709551615n,
      deviceId: 9007199254740993n,
      size: 5,
      links: 2,
      linktarget: 'x\udc80',
      xattrs: [{ name: 'user.a', value: Buffer.from('v') }],
      device: 259n,
      content: [ID],
      subtree: ID,
      extra: { later: 1, generic_attributes: { 'windows.file_attributes': 32 } },
    }
    expect(encodeNode(full)).toBe(
      `{"name":"é\\\\xff\\\\\\"\\u003c","type":"file","mode":420,"mtime":"${TIME}","atime":"${TIME}","ctime":"${TIME}",` +
        '"uid":1,"gid":2,"user":"u\\u0026","group":"g","inode":18446744073709551615,"device_id":9007199254740993,' +
        '"size":5,"links":2,"linktarget":"x\\ufffd","linktarget_raw":"eIA=",' +
        '"extended_attributes":[{"name":"user.a","value":"dg=="}],' +
        '"generic_attributes":{"windows.file_attributes":32},"device":259,' +
        `"content":["${ID}"],"subtree":"${ID}","later":1}`,
    )
  })

  it('keep an empty content apart from none', () => {
    expect(decode(node(',"content":[]'))[0]?.content).toEqual([])
    expect(decode(node(',"content":null'))[0]?.content).toBeNull()
    expect(decode(node(''))[0]?.content).toBeNull()
  })

  it('keep integers past 2^53 exact, also among members nobody knows', () => {
    const text = node(',"inode":18446744073709551615,"content":null,"later":[12345678901234567890,0.5]')
    const [decoded] = decode(text)
    expect(decoded?.inode).toBe(18446744073709551615n)
    expect(decoded === undefined ? '' : encodeNode(decoded)).toBe(text)
  })

  it('take a member called __proto__ as a member like any other', () => {
    const text = node(',"content":null,"__proto__":{"size":7}')
    const [decoded] = decode(text)
    expect(decoded?.size).toBe(0)
    expect(decoded === undefined ? '' : encodeNode(decoded)).toBe(text)
  })

  it('read a lone surrogate escape as U+FFFD, never as a raw byte', () => {
    expect(decode(`{"name":"a\\udc80",${minimal}}`)[0]?.name).toBe('a\ufffd')
  })

  it('may be empty', () => {
    expect(encodeTree([]).toString()).toBe('{"nodes":[]}\n')
    expect(decode()).toEqual([])
    expect(decodeTree(Buffer.from('{"nodes":null}'), 't')).toEqual([])
  })

  const named = (json: string) => `{"name":${json},${minimal}}`
  it.each([
    ['an empty name', [named('""')], 'Damaged', '#/nodes/0/name'],
    ['the name .', [named('"."')], 'Damaged', '#/nodes/0/name'],
    ['the name ..', [named('".."')], 'Damaged', '#/nodes/0/name'],
    ['a slash', [named('"a/b"')], 'Damaged', '#/nodes/0/name'],
    ['a slash in disguise', [named('"\\\\x2e\\\\x2e\\\\x2fa"')], 'Damaged', '#/nodes/0/name'],
    ['the name .. in disguise', [named('"\\\\056\\\\u002e"')], 'Damaged', '#/nodes/0/name'],
    ['a NUL', [named('"a\\u0000"')], 'Damaged', '#/nodes/0/name'],
    ['a bad escape', [named('"a\\\\q"')], 'Damaged', '#/nodes/0/name'],
    ['a name too long', [named(`"${'a'.repeat(5000)}"`)], 'LimitExceeded', '#/nodes/0/name'],
    ['names out of order', [named('"b"'), named('"a"')], 'Damaged', '#/nodes/1/name'],
    ['a name twice', [named('"a"'), named('"a"')], 'Damaged', '#/nodes/1/name'],
    ['an unknown type', ['{"name":"a","type":"door"}'], 'UnsupportedFormat', '#/nodes/0/type'],
    ['a bad time', ['{"name":"a","type":"file","mtime":"yesterday"}'], 'Damaged', '#/nodes/0/mtime'],
    ['a negative uid', [`{"name":"a","type":"file","uid":-1}`], 'Damaged', '#/nodes/0/uid'],
    ['a uid over 32 bits', [`{"name":"a","type":"file","uid":4294967296}`], 'Damaged', '#/nodes/0/uid'],
    ['an inode over 64 bits', [node(',"inode":18446744073709551616')], 'Damaged', '#/nodes/0/inode'],
    ['a fractional inode', [node(',"inode":1.5')], 'Damaged', '#/nodes/0/inode'],
    ['a size over 2^53', [node(',"size":9007199254740993')], 'LimitExceeded', '#/nodes/0/size'],
    ['a bad id', [node(',"content":["ab"]')], 'Damaged', '#/nodes/0/content/0'],
    ['a bad subtree', [node(',"subtree":"zz"')], 'Damaged', '#/nodes/0/subtree'],
    ['a bad target', [node(',"linktarget_raw":"*"')], 'Damaged', '#/nodes/0/linktarget_raw'],
    [
      'a bad attribute',
      [node(',"extended_attributes":[{"name":"a","value":1}]')],
      'Damaged',
      '#/nodes/0/extended_attributes/0/value',
    ],
    ['deep unknown members', [node(`,"x":${'['.repeat(500)}${']'.repeat(500)}`)], 'LimitExceeded', '@222'],
    ['a huge unusual node', [node(`,"x":"${'x'.repeat(17_000_000)}"`)], 'LimitExceeded', '#/nodes/0'],
    ['a node that is none', ['7'], 'Damaged', '#/nodes/0'],
  ])('with %s are refused with the place', (_what, nodes, code, pointer) => {
    expect(() => decode(...nodes)).toThrow(refusal(code, `tree/x${pointer}`))
  })

  it.each([
    ['nothing', ''],
    ['no object', '[]'],
    ['no nodes', '{}'],
    ['nodes that are no array', '{"nodes":{}}'],
    ['text after the end', '{"nodes":[]} x'],
    ['nodes twice', '{"nodes":[],"nodes":[]}'],
    ['a comma too many', '{"nodes":[],}'],
  ])('that hold %s are refused', (_what, text) => {
    expect(() => decodeTree(Buffer.from(text), 'tree/x')).toThrow(
      expect.objectContaining({ code: 'Damaged' }),
    )
  })

  it('with members in another order mean the same', () => {
    fc.assert(
      fc.property(treeNode, fc.integer({ min: 0, max: 3 }), (one, indent) => {
        // JSON.parse below rounds what is past 2^53.
        const usual = encodeNode({ ...one, inode: 5n, deviceId: 6n, device: 7n })
        const members = Object.entries(JSON.parse(usual) as object).reverse()
        const text = JSON.stringify({ later: [], nodes: [Object.fromEntries(members)] }, null, indent)
        expect(decodeTree(Buffer.from(text), 'tree')).toEqual(decode(JSON.stringify(JSON.parse(usual))))
      }),
    )
  })

  it('that nest a million arrays are refused before anything is built', () => {
    const nest = Buffer.from(`{"nodes":${'['.repeat(1_000_000)}`)
    expect(() => decodeTree(nest, 'tree/x')).toThrow(expect.objectContaining({ code: 'LimitExceeded' }))
  })

  it('that are not UTF-8 are refused', () => {
    expect(() => decodeTree(Buffer.from('{"nodes":[]}\xff', 'latin1'), 'tree/x')).toThrow(
      refusal('Damaged', 'tree/x'),
    )
  })
})
