import { createRequire } from 'node:module'
import { HoldfastError } from '@holdfast/contract'
import type * as Koffi from 'koffi'
import type { Primitives } from './primitives.ts'

const ZSTD_C_COMPRESSION_LEVEL = 100

/**
 * Primitives on the libcrypto and libzstd that the node binary itself carries and exports, called
 * through koffi on the caller's memory: no buffer and no context is made per call, which for small
 * blobs is most of the cost of node:crypto and node:zlib. `undefined` where koffi does not load or a
 * symbol is missing (a node built otherwise).
 */
export function openNativePrimitives(level: number): Primitives | undefined {
  let functions: NativeFunctions
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi
    functions = bind(koffi.load(null))
  } catch {
    return undefined
  }
  return primitivesOn(functions, level)
}

type NativeFunctions = ReturnType<typeof bind>

function bind(library: Koffi.LibraryHandle) {
  const f = (declaration: string) => library.func(declaration)
  return {
    sha256: f('void *SHA256(const uint8_t *d, size_t n, uint8_t *md)'),
    cipherFetch: f('void *EVP_CIPHER_fetch(void *ctx, const char *name, const char *properties)'),
    cipherContext: f('void *EVP_CIPHER_CTX_new()'),
    encryptInit: f(
      'int EVP_EncryptInit_ex2(void *ctx, void *cipher, const uint8_t *key, const uint8_t *iv, void *params)',
    ),
    encryptUpdate: f('int EVP_EncryptUpdate(void *ctx, uint8_t *out, int *outl, const uint8_t *in, int inl)'),
    macFetch: f('void *EVP_MAC_fetch(void *ctx, const char *name, const char *properties)'),
    macContext: f('void *EVP_MAC_CTX_new(void *mac)'),
    macInit: f('int EVP_MAC_init(void *ctx, const uint8_t *key, size_t keylen, void *params)'),
    macUpdate: f('int EVP_MAC_update(void *ctx, const uint8_t *data, size_t datalen)'),
    macFinal: f('int EVP_MAC_final(void *ctx, uint8_t *out, size_t *outl, size_t outsize)'),
    compressContext: f('void *ZSTD_createCCtx()'),
    setParameter: f('size_t ZSTD_CCtx_setParameter(void *ctx, int parameter, int value)'),
    compress: f(
      'size_t ZSTD_compress2(void *ctx, uint8_t *dst, size_t dstCapacity, const uint8_t *src, size_t srcSize)',
    ),
    decompressContext: f('void *ZSTD_createDCtx()'),
    decompress: f(
      'size_t ZSTD_decompressDCtx(void *ctx, uint8_t *dst, size_t dstCapacity, const uint8_t *src, size_t srcSize)',
    ),
  }
}

function primitivesOn(c: NativeFunctions, level: number): Primitives | undefined {
  const long = keyedCipher(c, 'AES-256-CTR')
  const short = keyedCipher(c, 'AES-128-CTR')
  const mac: unknown = c.macFetch(null, 'POLY1305', null)
  if (long === undefined || short === undefined || mac === null) return undefined
  const macContext: unknown = c.macContext(mac)
  const compressContext: unknown = c.compressContext()
  const decompressContext: unknown = c.decompressContext()
  c.setParameter(compressContext, ZSTD_C_COMPRESSION_LEVEL, level)
  const tagLength = new BigUint64Array(1)
  // libzstd returns its errors as sizes just below 2^64
  const refused = (size: number | bigint, target: Uint8Array): boolean => size > target.length
  return {
    kind: 'native',
    sha256: (source, out) => void c.sha256(source, source.length, out),
    aesCtr: (key, iv, source, target) => (key.length === 32 ? long : short)(key, iv, source, target),
    poly1305(key, source, out) {
      must(c.macInit(macContext, key, 32, null), 'EVP_MAC_init')
      must(c.macUpdate(macContext, source, source.length), 'EVP_MAC_update')
      must(c.macFinal(macContext, out, tagLength, 16), 'EVP_MAC_final')
    },
    compress(source, target) {
      const size: number = c.compress(compressContext, target, target.length, source, source.length)
      return refused(size, target) ? 0 : size
    },
    decompress(source, target) {
      const size: number = c.decompress(decompressContext, target, target.length, source, source.length)
      if (refused(size, target))
        throw new HoldfastError('Damaged', 'zstd data does not decode into the length expected')
      return size
    },
  }
}

/** Counter mode that keeps its key schedule from one call to the next with the same key. */
function keyedCipher(c: NativeFunctions, name: string): Primitives['aesCtr'] | undefined {
  const cipher: unknown = c.cipherFetch(null, name, null)
  if (cipher === null) return undefined
  const context: unknown = c.cipherContext()
  const written = new Int32Array(1)
  let scheduled: Uint8Array | undefined
  return (key, iv, source, target) => {
    const same = key === scheduled
    must(c.encryptInit(context, same ? null : cipher, same ? null : key, iv, null), 'EVP_EncryptInit_ex2')
    scheduled = key
    must(c.encryptUpdate(context, target, written, source, source.length), 'EVP_EncryptUpdate')
  }
}

function must(result: number, name: string): void {
  if (result !== 1) throw new HoldfastError('Internal', `${name} of libcrypto failed`)
}
