import { describe, expect, it } from 'vitest'
import { parseS3Location } from './s3-location.ts'

describe('an S3 location', () => {
  it.each([
    ['s3:https://host/bucket', 'https://host', 'bucket', ''],
    ['s3:https://host:9000/bucket/a/b', 'https://host:9000', 'bucket', 'a/b'],
    ['s3:http://127.0.0.1:9000/bucket/a/', 'http://127.0.0.1:9000', 'bucket', 'a'],
    ['s3:host/bucket/prefix', 'https://host', 'bucket', 'prefix'],
    ['s3:host:9000/bucket//prefix//x/', 'https://host:9000', 'bucket', 'prefix/x'],
    ['s3://host/bucket/./prefix', 'https://host', 'bucket', 'prefix'],
    ['s3:https://[::1]:9000/bucket', 'https://[::1]:9000', 'bucket', ''],
    ['s3:https://host/bucket/with%20blank', 'https://host', 'bucket', 'with blank'],
    ['s3:host/bucket/with%20blank?#', 'https://host', 'bucket', 'with%20blank?#'],
  ])('%s is %s, %s, %j', (text, endpoint, bucket, prefix) => {
    const location = parseS3Location(text)
    expect(location).toMatchObject({ endpoint, bucket, prefix, aws: undefined })
    expect(location.text).toBe(`s3:${endpoint}/${bucket}${prefix === '' ? '' : `/${prefix}`}`)
  })

  it.each([
    ['s3:s3.amazonaws.com/bucket', undefined],
    ['s3:https://s3.eu-central-1.amazonaws.com/bucket', 'eu-central-1'],
    ['s3:s3-us-gov-west-1.amazonaws.com/bucket', 'us-gov-west-1'],
    ['s3:s3.cn-north-1.amazonaws.com.cn/bucket', 'cn-north-1'],
  ])('%s is AWS in %s', (text, region) => {
    expect(parseS3Location(text).aws).toEqual({ region })
  })

  it.each([
    's3:https://s3.amazonaws.com.evil.example/bucket',
    's3:https://s3.amazonaws.com:444/bucket',
    's3:http://s3.amazonaws.com/b',
  ])('%s is not taken for AWS', (text) => {
    expect(parseS3Location(text.replace(/\/b$/, '/bucket')).aws).toBeUndefined()
  })

  it.each([
    'https://host/bucket',
    's3:',
    's3:host',
    's3:https://host/',
    's3:https://host//bucket',
    's3:https://host/../bucket/..',
    's3:https://host/bucket/../other',
    's3:https://host/bucket/a/%2e%2e/b',
    's3:https://host/bucket/a%2f..%2fb',
    's3:https://host/bucket/%zz',
    's3:https://host/bucket/a%00b',
    's3:https://host/bucket/a?x=1',
    's3:https://host/bucket/a#b',
    's3:host/bucket/../other',
    's3:host/../bucket/other',
    's3:https://host:99999/bucket',
    's3:https:///bucket',
  ])('%s is refused', (text) => {
    expect(() => parseS3Location(text)).toThrow(expect.objectContaining({ code: 'InvalidInput' }))
  })

  it('with a password in it is refused without repeating it', () => {
    for (const text of ['s3:https://key:hunter2@host/bucket', 's3:key:hunter2@host/bucket']) {
      expect(() => parseS3Location(text)).toThrow(/credentials/)
      expect(() => parseS3Location(text)).not.toThrow(/hunter2/)
    }
  })
})
