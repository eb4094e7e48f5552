const TAGS = new Map<number, readonly [word: string, named: boolean]>([
  [0x01, ['user', false]],
  [0x02, ['user', true]],
  [0x04, ['group', false]],
  [0x08, ['group', true]],
  [0x10, ['mask', false]],
  [0x20, ['other', false]],
])

/**
 * A POSIX ACL in the kernel's attribute form as the long text of POSIX.1e, with numeric ids, one entry
 * per line (acl(5)). Undefined for any other attribute, and for a value of another form. Pure.
 */
export function aclText(name: string, value: Buffer): string | undefined {
  if (name !== 'system.posix_acl_access' && name !== 'system.posix_acl_default') return undefined
  if (value.length < 4 || (value.length - 4) % 8 !== 0 || value.readUInt32LE(0) !== 2) return undefined
  let text = ''
  for (let at = 4; at < value.length; at += 8) {
    const tag = TAGS.get(value.readUInt16LE(at))
    if (tag === undefined) return undefined
    const [word, named] = tag
    text += `${word}:${named ? value.readUInt32LE(at + 4) : ''}:${permissions(value.readUInt16LE(at + 2))}\n`
  }
  return text
}

function permissions(bits: number): string {
  return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${bits & 1 ? 'x' : '-'}`
}
