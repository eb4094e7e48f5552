import { createHash, hash } from 'node:crypto'

/** 64 lower-case hex digits: the SHA-256 that names a file or a blob. */
export type Hex = string

/** True when `s` is exactly 64 lower-case hex digits. */
export function isHex(s: string): boolean {
  if (s.length !== 64) return false
  // A loop, because a regular expression takes several times as long and trees hold millions of ids.
  for (let i = 0; i < 64; i++) {
    const unit = s.charCodeAt(i)
    if (!((unit >= 0x30 && unit <= 0x39) || (unit >= 0x61 && unit <= 0x66))) return false
  }
  return true
}

/** SHA-256 of `bytes` as 32 bytes. */
export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

/** SHA-256 of `bytes` as 64 lower-case hex digits. */
export function sha256Hex(bytes: Uint8Array): Hex {
  return hash('sha256', bytes, 'hex')
}
