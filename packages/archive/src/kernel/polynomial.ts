import { randomBytes } from 'node:crypto'

/** Degree of every chunker polynomial, as restic's chunker fixes it. */
export const POLYNOMIAL_DEGREE = 53

/**
 * A random irreducible polynomial over GF(2) of degree 53, coefficients as bits. It is secret: with
 * it one could tell from blob lengths whether a known file is in the repository.
 */
export function randomPolynomial(): bigint {
  for (;;) {
    const bits = randomBytes(8).readBigUInt64LE() & ((1n << BigInt(POLYNOMIAL_DEGREE)) - 1n)
    const candidate = bits | (1n << BigInt(POLYNOMIAL_DEGREE)) | 1n
    if (isIrreducible(candidate)) return candidate
  }
}

/** Ben-Or's test: f is irreducible when it shares no factor with x^(2^i) - x for i up to half its degree. */
export function isIrreducible(f: bigint): boolean {
  let power = 2n
  for (let i = 1; i <= degree(f) >> 1; i++) {
    power = multiplyModulo(power, power, f)
    if (greatestCommonDivisor(f, power ^ 2n) !== 1n) return false
  }
  return true
}

/** Position of the highest set bit; -1 for the zero polynomial. */
export function degree(f: bigint): number {
  return f === 0n ? -1 : f.toString(2).length - 1
}

/** f modulo g, over GF(2). `g` must not be zero. */
export function modulo(f: bigint, g: bigint): bigint {
  const k = degree(g)
  let rest = f
  for (let d = degree(rest); d >= k; d = degree(rest)) rest ^= g << BigInt(d - k)
  return rest
}

/** f times g modulo m, over GF(2). */
export function multiplyModulo(f: bigint, g: bigint, m: bigint): bigint {
  let product = 0n
  for (let i = 0n; g >> i !== 0n; i++) if (((g >> i) & 1n) === 1n) product ^= f << i
  return modulo(product, m)
}

function greatestCommonDivisor(f: bigint, g: bigint): bigint {
  let [a, b] = [f, g]
  while (b !== 0n) [a, b] = [b, modulo(a, b)]
  return a
}
