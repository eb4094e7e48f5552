import { nameToBytes } from '../format/byte-name.ts'
import { errnoError } from './errno-error.ts'

// PATH_MAX counts the terminating NUL; the kernel refuses longer ones, so nothing is lost by this bound.
const LONGEST = 4096
const SLASH = 0x2f
const DOT = 0x2e
const EINVAL = 22
const ENAMETOOLONG = 36

/**
 * Reused memory for one NUL-terminated path argument. The result is valid until the next call on the same
 * scratch: a call with two paths needs two.
 */
export interface CString {
  /** A path of any form. Refuses a NUL byte (EINVAL) and more than PATH_MAX - 1 bytes (ENAMETOOLONG). */
  path(bytes: Uint8Array, syscall: string): Uint8Array
  /** Like `path`, for exactly one name in a directory: also refuses `/`, the empty name, `.` and `..` (EINVAL). */
  component(bytes: Uint8Array, syscall: string): Uint8Array
  /** Like `path`, from a surrogate-escaped string. */
  text(text: string, syscall: string): Uint8Array
}

export function allocateCString(): CString {
  const memory = Buffer.alloc(LONGEST)
  // A loop beats copying and searching by native call for the short strings that names are.
  const copy = (bytes: Uint8Array, refused: number, syscall: string): Uint8Array => {
    const length = bytes.length
    if (length >= LONGEST) throw errnoError(ENAMETOOLONG, { syscall, path: bytes.subarray(0, 64) })
    for (let i = 0; i < length; i++) {
      const byte = bytes[i] as number
      if (byte === 0 || byte === refused) throw errnoError(EINVAL, { syscall, path: bytes })
      memory[i] = byte
    }
    memory[length] = 0
    return memory
  }
  return {
    path: (bytes, syscall) => copy(bytes, 0, syscall),
    component: (bytes, syscall) => {
      if (isNoName(bytes)) throw errnoError(EINVAL, { syscall, path: bytes })
      return copy(bytes, SLASH, syscall)
    },
    text: (text, syscall) => {
      const length = text.length
      if (length >= LONGEST) throw errnoError(ENAMETOOLONG, { syscall })
      for (let i = 0; i < length; i++) {
        const code = text.charCodeAt(i)
        if (code >= 0x80 || code === 0) return copy(nameToBytes(text), 0, syscall)
        memory[i] = code
      }
      memory[length] = 0
      return memory
    },
  }
}

function isNoName(bytes: Uint8Array): boolean {
  if (bytes.length > 2) return false
  return bytes.every((byte) => byte === DOT)
}
