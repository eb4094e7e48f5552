import { HoldfastError } from '@holdfast/contract'

export async function pending(): Promise<never> {
  throw new HoldfastError('Unsupported', 'this verb is not built yet')
}
