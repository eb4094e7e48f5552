const units = ['KiB', 'MiB', 'GiB', 'TiB'] as const

/** Bytes for people, in powers of 1024 with three decimals, as restic prints them. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  let value = bytes / 1024
  let unit: string = units[0]
  for (const next of units.slice(1)) {
    if (value < 1024) break
    value /= 1024
    unit = next
  }
  return `${value.toFixed(3)} ${unit}`
}
