import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { failureOf, someFile } from './conformance.testing.ts'
import { openStore } from './open-store.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-open-'))
afterAll(() => rmSync(directory, { recursive: true }))

describe('openStore', () => {
  it.each([directory, `local:${directory}`, 'relative/path'])(
    '%s is a bare local store',
    async (location) => {
      const store = await openStore(location)
      expect(store.localDirectory).toBe(resolve(location.replace(/^local:/, '')))
    },
  )

  it('hides the local directory as soon as anything is wrapped around it', async () => {
    for (const options of [
      { readOnly: true },
      { appendOnly: true },
      { rateLimit: { uploadBytesPerSecond: 1e9 } },
      { retry: {} },
    ]) {
      expect((await openStore(directory, options)).localDirectory).toBeUndefined()
    }
  })

  it('read-only and append-only hold', async () => {
    const root = join(directory, 'repo')
    await (await openStore(root)).create()
    const { file, body } = someFile('config', 155)
    expect(await failureOf((await openStore(root, { readOnly: true })).save(file, body))).toBe('ReadOnly')
    const appendOnly = await openStore(root, { appendOnly: true })
    await appendOnly.save(file, body)
    expect(await failureOf(appendOnly.remove(file))).toBe('ReadOnly')
  })

  it.each([
    'sftp:user@host:/srv',
    'rest:https://host/',
    'b2:bucket',
    'https://host/bucket',
    'rclone:x:y',
    '',
  ])('%j is refused, not taken for a directory', async (location) => {
    expect(await failureOf(openStore(location))).toBe('InvalidInput')
  })

  it('an S3 location opens without a request, under its plain name', async () => {
    await using store = await openStore('s3:host.invalid/bucket/a')
    expect(store.location).toBe('s3:https://host.invalid/bucket/a')
    expect(store.connections).toBe(5)
  })

  it('local use does not load the S3 SDK', () => {
    const script = `
      import { openStore } from ${JSON.stringify(join(import.meta.dirname, 'open-store.ts'))}
      import { createRequire } from 'node:module'
      await openStore(process.argv[1], JSON.parse(process.argv[2]))
      console.log(Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('@aws-sdk')).length > 0)`
    const loads = (location: string, options = {}): string => {
      const run = spawnSync(
        process.execPath,
        ['--input-type=module', '-e', script, location, JSON.stringify(options)],
        { encoding: 'utf8' },
      )
      expect(run.stderr).toBe('')
      return run.stdout.trim()
    }
    expect(loads(directory)).toBe('false')
    expect(loads('s3:host.invalid/bucket')).toBe('true')
  })
})
