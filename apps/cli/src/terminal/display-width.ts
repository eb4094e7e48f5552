const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** How many columns `text` takes on a terminal: wide East Asian letters and pictures take two. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of graphemes.segment(text)) width += segmentWidth(segment)
  return width
}

/** `text` in at most `width` columns, its middle replaced by … where it is longer. */
export function fitWidth(text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  if (width < 1) return ''
  const segments = [...graphemes.segment(text)].map(({ segment }) => segment)
  const tail = Math.floor((width - 1) / 2)
  const head = width - 1 - tail
  return `${takeWidth(segments, head).join('')}…${takeWidth(segments.toReversed(), tail).toReversed().join('')}`
}

function takeWidth(segments: readonly string[], width: number): readonly string[] {
  const taken: string[] = []
  let used = 0
  for (const segment of segments) {
    used += segmentWidth(segment)
    if (used > width) break
    taken.push(segment)
  }
  return taken
}

function segmentWidth(segment: string): number {
  if (/^\p{Mark}/u.test(segment)) return 0
  return /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u.test(
    segment,
  )
    ? 2
    : 1
}
