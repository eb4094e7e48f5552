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
    isError: f('unsigned int ZSTD_isError(size_t code)'),
  }
}

function primitivesOn(c: NativeFunctions, level: number): Primitives | undefined {
  const cipher: unknown = c.cipherFetch(null, 'AES-256-CTR', null)
  const mac: unknown = c.macFetch(null, 'POLY1305', null)
  if (cipher === null || mac === null) return undefined
  const cipherContext: unknown = c.cipherContext()
  const macContext: unknown = c.macContext(mac)
  const compressContext: unknown = c.compressContext()
  const decompressContext: unknown = c.decompressContext()
  c.setParameter(compressContext, ZSTD_C_COMPRESSION_LEVEL, level)
  const written = new Int32Array(1)
  const tagLength = new BigUint64Array(1)
  const refused = (size: number): boolean => c.isError(size) !== 0
  return {
    kind: 'native',
    sha256: (source, out) => void c.sha256(source, source.length, out),
    aesCtr(key, iv, source, target) {
      must(c.encryptInit(cipherContext, cipher, key, iv, null), 'EVP_EncryptInit_ex2')
      must(c.encryptUpdate(cipherContext, target, written, source, source.length), 'EVP_EncryptUpdate')
    },
    poly1305(key, source, out) {
      must(c.macInit(macContext, key, 32, null), 'EVP_MAC_init')
      must(c.macUpdate(macContext, source, source.length), 'EVP_MAC_update')
      must(c.macFinal(macContext, out, tagLength, 16), 'EVP_MAC_final')
    },
    compress(source, target) {
      const size: number = c.compress(compressContext, target, target.length, source, source.length)
      return refused(size) ? 0 : size
    },
    decompress(source, target) {
      const size: number = c.decompress(decompressContext, target, target.length, source, source.length)
      if (refused(size))
        throw new HoldfastError('Damaged', 'zstd data does not decode into the length expected')
      return size
    },
  }
}

function must(result: number, name: string): void {
  if (result !== 1) throw new HoldfastError('Internal', `${name} of libcrypto failed`)
}
