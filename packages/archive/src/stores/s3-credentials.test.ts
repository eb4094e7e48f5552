import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { accessKeySource } from './s3-credentials.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-keys-'))
afterAll(() => rmSync(directory, { recursive: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

describe('the access key', () => {
  it('comes from files, one value each, and is read again after a rotation', async () => {
    const files = { accessKeyIdFile: file('id', 'AKIA1\n'), secretAccessKeyFile: file('secret', 'first\n') }
    const source = accessKeySource(files, () => 1_000_000)
    expect(await source()).toEqual({
      accessKeyId: 'AKIA1',
      secretAccessKey: 'first',
      expiration: new Date(1_600_000),
    })
    file('secret', 'second')
    expect(await source()).toMatchObject({ secretAccessKey: 'second' })
    expect(await accessKeySource({ ...files, sessionTokenFile: file('token', 'tok') })()).toMatchObject({
      sessionToken: 'tok',
    })
  })

  it('comes from a section of a shared credentials file', async () => {
    const path = file(
      'shared',
      '# c\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[ work ]\naws_access_key_id=C\naws_secret_access_key = D=E/+\naws_session_token=T\nregion=x\n',
    )
    expect(await accessKeySource({ sharedCredentialsFile: path })()).toMatchObject({
      accessKeyId: 'A',
      secretAccessKey: 'B',
    })
    expect(await accessKeySource({ sharedCredentialsFile: path, profile: 'work' })()).toMatchObject({
      accessKeyId: 'C',
      secretAccessKey: 'D=E/+',
      sessionToken: 'T',
    })
  })

  it.each([
    ['an empty file', { accessKeyIdFile: file('empty', '\n'), secretAccessKeyFile: file('s1', 'hunter2') }],
    ['two words', { accessKeyIdFile: file('ok', 'A'), secretAccessKeyFile: file('s2', 'hunter2 hunter2') }],
    ['no file', { accessKeyIdFile: join(directory, 'none'), secretAccessKeyFile: file('s3', 'hunter2') }],
    ['no section', { sharedCredentialsFile: file('s4', '[default]\naws_secret_access_key=hunter2\n') }],
  ])('%s is refused, without telling what it holds', async (_, credentials) => {
    const error = await accessKeySource(credentials)().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({ code: 'InvalidInput' })
    expect(String(error)).not.toContain('hunter2')
  })
})
