import { describe, expect, it } from 'vitest'
import { decodeConfig, encodeConfig } from './config.ts'
import { decodeKeyFile, decodeMasterKey, encodeKeyFile, encodeMasterKey } from './key-file.ts'
import { decodeLockFile, encodeLockFile } from './lock-file.ts'

const ID = 'ab'.repeat(32)
const refusal = (code: string, place: string) => expect.objectContaining({ code, place })

describe('the config', () => {
  it('is the same bytes after decoding and encoding', () => {
    const text = `{"version":2,"id":"${ID}","chunker_polynomial":"2aac9af4e439a7"}`
    const config = decodeConfig(Buffer.from(text), 'config')
    expect(config).toEqual({ version: 2, id: ID, chunkerPolynomial: 0x2aac9af4e439a7n })
    expect(encodeConfig(config).toString()).toBe(text)
  })

  it.each([
    [
      `{"version":3,"id":"${ID}","chunker_polynomial":"25b468838dcb75"}`,
      'UnsupportedFormat',
      'config#/version',
    ],
    [`{"id":"${ID}","chunker_polynomial":"25b468838dcb75"}`, 'Damaged', 'config#/version'],
    ['{"version":2,"id":"x","chunker_polynomial":"25b468838dcb75"}', 'Damaged', 'config#/id'],
    [
      `{"version":2,"id":"${ID}","chunker_polynomial":"25b468838dcb75aaaaa"}`,
      'Damaged',
      'config#/chunker_polynomial',
    ],
    [`{"version":2,"id":"${ID}","chunker_polynomial":5}`, 'Damaged', 'config#/chunker_polynomial'],
  ])('is refused when it is %s', (text, code, place) => {
    expect(() => decodeConfig(Buffer.from(text), 'config')).toThrow(refusal(code, place))
  })
})

describe('a key file', () => {
  const data = Buffer.alloc(48, 7).toString('base64')
  const key = (cost: string, rest = `"salt":"c2FsdA==","data":"${data}"`) =>
    `{"created":"2024-05-06T07:08:09Z","username":"u","hostname":"h","kdf":"scrypt",${cost},${rest}}`

  it('is the same bytes after decoding and encoding', () => {
    const text = key('"N":32768,"r":8,"p":5')
    expect(encodeKeyFile(decodeKeyFile(Buffer.from(text), 'key')).toString()).toBe(text)
  })

  it.each([
    ['"N":2097152,"r":1,"p":1', 'LimitExceeded', 'keys/x'],
    ['"N":1048576,"r":32,"p":1', 'LimitExceeded', 'keys/x'],
    ['"N":1024,"r":33,"p":1', 'LimitExceeded', 'keys/x'],
    ['"N":1024,"r":1,"p":33', 'LimitExceeded', 'keys/x'],
    ['"N":99999999999999999999,"r":1,"p":1', 'LimitExceeded', 'keys/x#/N'],
    ['"N":1000,"r":1,"p":1', 'Damaged', 'keys/x#/N'],
    ['"N":1,"r":1,"p":1', 'Damaged', 'keys/x#/N'],
    ['"N":0,"r":1,"p":1', 'Damaged', 'keys/x#/N'],
    ['"N":1024,"r":0,"p":1', 'Damaged', 'keys/x#/r'],
    ['"N":1024,"r":1,"p":0', 'Damaged', 'keys/x#/p'],
    ['"N":-1024,"r":1,"p":1', 'Damaged', 'keys/x#/N'],
  ])('that asks for scrypt with %s is refused', (cost, code, place) => {
    expect(() => decodeKeyFile(Buffer.from(key(cost)), 'keys/x')).toThrow(refusal(code, place))
  })

  it('with another kdf, or data that cannot be sealed, is refused', () => {
    const other = Buffer.from(key('"N":1024,"r":1,"p":1').replace('scrypt', 'argon2'))
    expect(() => decodeKeyFile(other, 'keys/x')).toThrow(refusal('UnsupportedFormat', 'keys/x#/kdf'))
    const short = Buffer.from(key('"N":1024,"r":1,"p":1', '"salt":"","data":"AAAA"'))
    expect(() => decodeKeyFile(short, 'keys/x')).toThrow(refusal('Damaged', 'keys/x#/data'))
    const bad = Buffer.from(key('"N":1024,"r":1,"p":1', `"salt":"c2FsdA","data":"${data}"`))
    expect(() => decodeKeyFile(bad, 'keys/x')).toThrow(refusal('Damaged', 'keys/x#/salt'))
  })
})

describe('a master key', () => {
  const master = { encrypt: Buffer.alloc(32, 1), macK: Buffer.alloc(16, 2), macR: Buffer.alloc(16, 3) }

  it('comes back as it was, in restic’s layout', () => {
    const bytes = encodeMasterKey(master)
    expect(bytes.toString()).toMatch(/^\{"mac":\{"k":"[^"]+","r":"[^"]+"\},"encrypt":"[^"]+"\}$/)
    expect(decodeMasterKey(bytes, 'key')).toEqual(master)
  })

  it('is refused when a part is short or zero, without showing it', () => {
    const short = encodeMasterKey({ ...master, encrypt: Buffer.alloc(31, 0x41) })
    expect(() => decodeMasterKey(short, 'key')).toThrow(refusal('Damaged', 'key#/encrypt'))
    expect(() => decodeMasterKey(short, 'key')).not.toThrow(/QUFB/)
    const zero = encodeMasterKey({ ...master, macR: Buffer.alloc(16) })
    expect(() => decodeMasterKey(zero, 'key')).toThrow(refusal('Damaged', 'key#/mac/r'))
  })
})

describe('a lock file', () => {
  it.each([
    '{"time":"2024-05-06T07:08:09.1Z","exclusive":false,"hostname":"h","username":"root","pid":7}',
    '{"time":"2024-05-06T07:08:09.1Z","exclusive":true,"hostname":"h","username":"","pid":7,"uid":1000,"gid":100}',
  ])('is the same bytes after decoding and encoding: %s', (text) => {
    expect(encodeLockFile(decodeLockFile(Buffer.from(text), 'lock')).toString()).toBe(text)
  })

  it.each([
    ['{"exclusive":true}', 'locks/x#/time'],
    ['{"time":"soon"}', 'locks/x#/time'],
    ['{"time":"2024-05-06T07:08:09Z","exclusive":1}', 'locks/x#/exclusive'],
    ['{"time":"2024-05-06T07:08:09Z","pid":"1"}', 'locks/x#/pid'],
  ])('is refused when it is %s', (text, place) => {
    expect(() => decodeLockFile(Buffer.from(text), 'locks/x')).toThrow(refusal('Damaged', place))
  })
})
