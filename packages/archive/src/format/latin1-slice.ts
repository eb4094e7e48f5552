/**
 * The bytes from `from` to `to` as latin-1 text. Buffer.toString spends several times as long on its arguments as
 * on a short string; its own `latin1Slice`, which Node has but does not document, does without.
 */
export function latin1Slice(bytes: Buffer, from: number, to: number): string {
  return direct === undefined ? bytes.toString('latin1', from, to) : direct.call(bytes, from, to)
}

interface WithSlice {
  readonly latin1Slice?: (this: Buffer, from: number, to: number) => string
}

const direct = (Buffer.prototype as unknown as WithSlice).latin1Slice
