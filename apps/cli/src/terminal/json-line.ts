/**
 * A value as one line of JSON. Big integers are written out digit for digit (inode numbers pass
 * 2^53), and name bytes that are not UTF-8 become U+FFFD, as they do in restic's output.
 */
export function jsonLine(value: unknown): string {
  const text = JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === 'bigint') return rawJson(member.toString())
    if (typeof member === 'string' && !member.isWellFormed()) return member.toWellFormed()
    return member
  })
  // JSON leaves these as they are; here they must not reach a terminal, nor be escaped in a way JSON does not know
  return text.replace(steering, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const steering = /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

function rawJson(text: string): unknown {
  return (JSON as JSON & { rawJSON(text: string): unknown }).rawJSON(text)
}
