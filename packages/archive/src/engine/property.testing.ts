import * as fc from 'fast-check'
import { it } from 'vitest'

export { fc }

/** A claim that holds for every value: 200 of them, a failing one shrunk and printed with its seed. */
export function test<T>(name: string, values: fc.Arbitrary<T>, claim: (value: T) => void): void {
  it(name, () => fc.assert(fc.property(values, claim), { numRuns: 200 }))
}
