/**
 * A value as one line of JSON. Big integers are written out digit for digit (inode numbers pass
 * 2^53), and name bytes that are not UTF-8 become U+FFFD, as they do in restic's output.
 */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === 'bigint') return rawJson(member.toString())
    if (typeof member === 'string' && !member.isWellFormed()) return member.toWellFormed()
    return member
  })
}

function rawJson(text: string): unknown {
  return (JSON as JSON & { rawJSON(text: string): unknown }).rawJSON(text)
}
