/**
 * A file name or path as it can be shown: as it is when every character prints, else in double
 * quotes with escapes, so that a hostile name can neither steer the terminal nor fake a line.
 */
export function quoteName(name: string): string {
  if (/^[\x20-\x7e]*$/.test(name) && !name.includes('"')) return name
  if (
    !/[\p{Control}\p{Format}\p{Surrogate}\p{Private_Use}\p{Line_Separator}\p{Paragraph_Separator}\p{Unassigned}]/u.test(
      name,
    )
  ) {
    return name
  }
  let quoted = ''
  for (const character of name) quoted += escapeCharacter(character)
  return `"${quoted}"`
}

const short: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '"': '\\"',
  '\\': '\\\\',
}

function escapeCharacter(character: string): string {
  const known = short[character]
  if (known !== undefined) return known
  const point = character.codePointAt(0) ?? 0
  if (point >= 0xdc80 && point <= 0xdcff) return `\\x${(point - 0xdc00).toString(16)}`
  if (
    /[\p{Control}\p{Format}\p{Surrogate}\p{Private_Use}\p{Line_Separator}\p{Paragraph_Separator}\p{Unassigned}]/u.test(
      character,
    )
  ) {
    if (point < 0x80) return `\\x${point.toString(16).padStart(2, '0')}`
    return point < 0x10000
      ? `\\u${point.toString(16).padStart(4, '0')}`
      : `\\U${point.toString(16).padStart(8, '0')}`
  }
  return character
}

/**
 * A line of output with everything that could steer a terminal or reorder text written as an escape.
 * Line ends and tabs stay; so does JSON, which has no such characters outside of its own escapes.
 */
export function escapeControls(line: string): string {
  if (!steering.test(line) && line.isWellFormed()) return line
  let escaped = ''
  for (const character of line)
    escaped += steering.test(character) || !character.isWellFormed() ? escapeCharacter(character) : character
  return escaped
}

const steering = /(?![\n\t])[\p{Control}\u202a-\u202e\u2066-\u2069]/u
