export {
  type ErrorCode,
  HoldfastError,
  type HoldfastErrorOptions,
  isHoldfastError,
  type Retry,
} from './holdfast-error.ts'
