import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findPeer } from '../../../../tests/peers.ts'
import { seededRandom } from '../../../../tests/seeded-random.ts'
import { type Certificates, makeCertificates } from '../../../../tests/servers/certificates.ts'
import {
  type Meddling,
  type SeenRequest,
  startMeddlingProxy,
} from '../../../../tests/servers/meddling-proxy.ts'
import {
  findS3Server,
  type S3Server,
  type S3ServerName,
  startS3Server,
} from '../../../../tests/servers/s3.ts'
import { sha256 } from '../format/ids.ts'
import { fileTypes } from './blob-store.ts'
import { failureOf, someFile, storeMustBehave } from './conformance.testing.ts'
import { collect } from './doubles.testing.ts'
import { openFilesystemStore } from './filesystem.ts'
import { layoutPath } from './layout.ts'
import { openStore } from './open-store.ts'
import { retryAfterOf } from './retry-after.ts'
import { openS3Store, type S3Store } from './s3.ts'
import type { S3StoreOptions } from './s3-options.ts'
import { withRetry } from './wrap/retry.ts'

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-s3-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** Small parts and pages, so that the rows reach multipart uploads and long listings. */
const small = { multipartThreshold: 5 * 2 ** 20, partSize: 5 * 2 ** 20, pageSize: 7 }
const large = { largeBody: 11 * 2 ** 20 + 17 }

type More = Partial<Omit<S3StoreOptions, 'location'>>

function opened(server: S3Server, more: More = {}, endpoint = server.endpoint): Promise<S3Store> {
  const { accessKeyId, secretAccessKey } = server
  const location = `s3:${endpoint}/rows/${randomUUID()}`
  return openS3Store({ location, credentials: { accessKeyId, secretAccessKey }, ...small, ...more })
}

async function ready(server: S3Server, more: More = {}, endpoint = server.endpoint): Promise<S3Store> {
  const store = await opened(server, more, endpoint)
  await store.create()
  return store
}

/** Registers tests against one running server; skipped when the server is not here. */
function against(
  name: S3ServerName,
  title: string,
  tests: (server: () => S3Server) => void,
  options: Parameters<typeof startS3Server>[1] = {},
): void {
  describe.skipIf(findS3Server(name) === undefined)(title, () => {
    let server: S3Server | undefined
    beforeAll(async () => {
      server = await startS3Server(name, options)
    })
    afterAll(() => server?.[Symbol.asyncDispose]())
    tests(() => {
      if (server === undefined) throw new Error('the server is not up')
      return server
    })
  })
}

for (const name of ['versitygw', 'gofakes3'] as const) {
  against(name, `on ${name}`, (server) => {
    storeMustBehave(name, async () => ({ store: await opened(server()) }), large)
  })
}

against('gofakes3', 'on a server that does not heed conditions', (server) => {
  for (const [how, meddling] of [
    ['ignores', { strip: ['if-none-match'] }],
    ['does not implement', { answer: { status: 501, body: '<Error><Code>NotImplemented</Code></Error>' } }],
  ] satisfies [string, Meddling][]) {
    storeMustBehave(
      `a server that ${how} If-None-Match`,
      async () => {
        const meddle = (asked: SeenRequest): Meddling =>
          asked.headers['if-none-match'] === undefined ? {} : meddling
        const proxy = await startMeddlingProxy(server().endpoint, meddle)
        return { store: await opened(server(), {}, proxy.endpoint), end: () => proxy[Symbol.asyncDispose]() }
      },
      { configRace: false },
    )
  }
})

against('versitygw', 'on a network that loses one request or answer in five', (server) => {
  const random = seededRandom(42)
  storeMustBehave(
    'versitygw behind a bad network, under retry',
    async () => {
      const troubles: readonly Meddling[] = [
        { drop: 'before' },
        { drop: 'after' },
        { answer: { status: 503, body: '<Error><Code>SlowDown</Code></Error>' } },
      ]
      const proxy = await startMeddlingProxy(server().endpoint, () =>
        random.chance(0.2) ? random.pick(troubles) : {},
      )
      const store = withRetry(await opened(server(), { pageSize: 20 }, proxy.endpoint), {
        sleep: async () => {},
      })
      return { store, end: () => proxy[Symbol.asyncDispose]() }
    },
    { ownConfigAgain: true },
  )
})

against('versitygw', 'the S3 store', (server) => {
  const withProxy = async (
    meddle: (asked: SeenRequest) => Meddling,
    body: (store: S3Store, seen: SeenRequest[]) => Promise<void>,
    more: More = {},
  ): Promise<void> => {
    await using proxy = await startMeddlingProxy(server().endpoint, meddle)
    await using store = await ready(server(), more, proxy.endpoint)
    await body(store, proxy.seen)
  }

  it('is refused with a wrong secret, in words', async () => {
    const { accessKeyId } = server()
    const store = await opened(server(), { credentials: { accessKeyId, secretAccessKey: 'wrong' } })
    await expect(store.stat(someFile('key', 1).file)).rejects.toMatchObject({
      code: 'StoreRefused',
      retry: 'after-change',
    })
    await expect(collect(store.list('key'))).rejects.toMatchObject({
      code: 'StoreRefused',
      message: expect.stringMatching(/SignatureDoesNotMatch/),
      guidance: expect.stringMatching(/secret/),
    })
  })

  it('says that the bucket does not exist, and does not take it for an empty repository', async () => {
    const { accessKeyId, secretAccessKey } = server()
    const location = `s3:${server().endpoint}/no-such-bucket`
    await using store = await openS3Store({ location, credentials: { accessKeyId, secretAccessKey } })
    await expect(collect(store.list('snapshot'))).rejects.toMatchObject({
      code: 'StoreUnavailable',
      retry: 'after-change',
    })
    await expect(store.load({ type: 'config', id: '' })).rejects.toMatchObject({
      code: 'NotFound',
      message: expect.stringMatching(/bucket no-such-bucket does not exist/),
    })
    const { file, body } = someFile('pack', 10)
    await expect(store.save(file, body)).rejects.toMatchObject({
      code: 'StoreUnavailable',
      retry: 'after-change',
    })
  })

  it('has the server refuse bytes that do not match their name', async () => {
    for (const [length, more] of [
      [100, {}],
      [100, { checksum: 'md5' }],
    ] satisfies [number, More][]) {
      const store = await ready(server(), more)
      const { file } = someFile('pack', length)
      const code = await failureOf(store.save(file, someFile('pack', length).body))
      // Content-MD5 is of what was sent, so only SHA-256 ties the bytes to the name.
      expect(code).toBe('checksum' in more ? undefined : 'Damaged')
      expect(await failureOf(store.stat(file))).toBe('checksum' in more ? undefined : 'NotFound')
    }
  })

  it('records whether conditional writes are heeded', async () => {
    const { file, body } = someFile('lock', 50)
    const found = async (meddling: Meddling): Promise<string> => {
      let record = ''
      await withProxy(
        (asked) => (asked.headers['if-none-match'] === undefined ? {} : meddling),
        async (store) => {
          expect(store.capabilities().conditionalWrites).toBe('unknown')
          await store.save(file, body)
          record = store.capabilities().conditionalWrites
        },
      )
      return record
    }
    expect(await found({})).toBe('enforced')
    // versitygw signs over the header, so the proxy answers in its place.
    expect(await found({ answer: { status: 501, body: '<Error><Code>NotImplemented</Code></Error>' } })).toBe(
      'ignored',
    )
  })

  it.each(fileTypes)(
    'asks for the storage class for packs alone, here for a %s, and always sends a checksum',
    async (type) => {
      await withProxy(
        (asked) => (asked.method === 'PUT' ? { answer: { status: 200 } } : {}),
        async (store, seen) => {
          const { file, body } = someFile(type, 20)
          await store.save(file, body)
          const put = seen.find((asked) => asked.method === 'PUT' && asked.url.includes(layoutPath(file)))
          expect(put?.headers['x-amz-storage-class']).toBe(type === 'pack' ? 'STANDARD_IA' : undefined)
          expect(put?.headers['x-amz-checksum-sha256']).toBe(sha256(body).toString('base64'))
          expect(put?.headers['x-amz-content-sha256']).toBe(sha256(body).toString('hex'))
        },
        { storageClass: 'STANDARD_IA' },
      )
    },
  )

  it('refuses archive classes, in which trees could not be read', async () => {
    expect(await failureOf(opened(server(), { storageClass: 'DEEP_ARCHIVE' }))).toBe('InvalidInput')
  })

  it('aborts a multipart upload that fails, and saves nothing', async () => {
    let broken = true
    await withProxy(
      (asked) => (broken && /partNumber=2/.test(asked.url) ? { answer: { status: 500, body: '' } } : {}),
      async (store, seen) => {
        const { file, body } = someFile('pack', 11 * 2 ** 20)
        await expect(store.save(file, body)).rejects.toMatchObject({
          code: 'StoreUnavailable',
          retry: 'later',
        })
        expect(seen.filter((asked) => asked.method === 'DELETE' && /uploadId=/.test(asked.url))).toHaveLength(
          1,
        )
        expect(await failureOf(store.stat(file))).toBe('NotFound')
        broken = false
        await store.save(file, body)
        expect((await store.load(file)).equals(body)).toBe(true)
      },
    )
  })

  it.each([
    [503, 'SlowDown', 'StoreUnavailable', 'later'],
    [500, 'InternalError', 'StoreUnavailable', 'later'],
    [429, 'TooManyRequests', 'StoreUnavailable', 'later'],
    [409, 'ConditionalRequestConflict', 'StoreUnavailable', 'later'],
    [408, 'RequestTimeout', 'StoreUnavailable', 'later'],
    [403, 'AccessDenied', 'StoreRefused', 'after-change'],
    [403, 'InvalidAccessKeyId', 'StoreRefused', 'after-change'],
    [403, 'RequestTimeTooSkewed', 'StoreRefused', 'after-change'],
    [400, 'ExpiredToken', 'StoreRefused', 'after-change'],
    [400, 'SomethingNew', 'StoreRefused', 'after-change'],
    [301, 'PermanentRedirect', 'StoreRefused', 'after-change'],
    [403, 'InvalidObjectState', 'StoreRefused', 'after-change'],
    [507, 'XMinioStorageFull', 'StoreUnavailable', 'after-change'],
  ])('takes %i %s as %s, %s', async (status, code, expected, retry) => {
    const answer = {
      status,
      headers: { 'content-type': 'application/xml' },
      body: `<Error><Code>${code}</Code><Message>m</Message></Error>`,
    }
    await withProxy(
      (asked) => (asked.method === 'GET' ? { answer } : {}),
      async (store) => {
        const { file } = someFile('pack', 10)
        await expect(store.load(file)).rejects.toMatchObject({ code: expected, retry })
        await expect(collect(store.list('pack'))).rejects.toMatchObject({ code: expected, retry })
      },
    )
  })

  it('hands on how long the server asks to wait, and retry waits that long', async () => {
    let busy = 2
    await withProxy(
      (asked) =>
        asked.method === 'GET' && busy-- > 0
          ? { answer: { status: 503, headers: { 'retry-after': '7' } } }
          : {},
      async (store) => {
        const { file, body } = someFile('pack', 10)
        await store.save(file, body)
        const error = await store.load(file).catch((thrown: unknown) => thrown)
        expect(retryAfterOf(error)).toBe(7000)
        const waits: number[] = []
        const sleep = async (ms: number): Promise<void> => void waits.push(ms)
        expect((await withRetry(store, { sleep, baseMs: 1 }).load(file)).equals(body)).toBe(true)
        expect(waits).toEqual([7000])
      },
    )
  })

  it('takes an answer that breaks off as worth another attempt, and never as content', async () => {
    const { file, body } = someFile('pack', 200_000)
    let cuts = 3
    await withProxy(
      (asked) => (asked.method === 'GET' && cuts-- > 0 ? { cutAfter: 70_000 } : {}),
      async (store) => {
        await store.save(file, body)
        await expect(store.load(file)).rejects.toMatchObject({ code: 'StoreUnavailable', retry: 'later' })
        await expect(store.load(file, { offset: 10, length: 150_000 })).rejects.toMatchObject({
          code: 'StoreUnavailable',
        })
        expect((await withRetry(store, { sleep: async () => {} }).load(file)).equals(body)).toBe(true)
      },
    )
  })

  it('does not wait forever for a server that says nothing, and says when nobody is there', async () => {
    await withProxy(
      (asked) => ({ hang: asked.method === 'GET' }),
      async (store) => {
        await expect(store.load(someFile('pack', 1).file)).rejects.toMatchObject({
          code: 'StoreUnavailable',
          retry: 'later',
        })
      },
      { idleTimeoutMs: 200 },
    )
    const gone = await opened(server(), {}, 'http://127.0.0.1:9')
    await expect(gone.stat(someFile('pack', 1).file)).rejects.toMatchObject({
      code: 'StoreUnavailable',
      retry: 'later',
      message: expect.stringMatching(/ECONNREFUSED/),
    })
  })

  it('refuses a server that answers a range with the whole file', async () => {
    const { file, body } = someFile('pack', 1000)
    await withProxy(
      (asked) =>
        asked.headers['range'] === undefined ? {} : { answer: { status: 200, body: 'x'.repeat(1000) } },
      async (store) => {
        await store.save(file, body)
        expect(await failureOf(store.load(file, { offset: 10, length: 20 }))).toBe('Unsupported')
      },
    )
  })

  it('does not list forever when the server repeats a page', async () => {
    const page =
      '<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>'
    await withProxy(
      (asked) => (/list-type=2/.test(asked.url) ? { answer: { status: 200, body: page } } : {}),
      async (store) => {
        expect(await failureOf(collect(store.list('pack')))).toBe('Unsupported')
      },
    )
  })

  it('lists nothing but the layout, and only below its own prefix', async () => {
    const { accessKeyId, secretAccessKey } = server()
    const credentials = { accessKeyId, secretAccessKey }
    const prefix = randomUUID()
    const open = (path: string): Promise<S3Store> =>
      openS3Store({ location: `s3:${server().endpoint}/rows/${path}`, credentials })
    const [outer, longer, inner] = await Promise.all([
      open(prefix),
      open(`${prefix}x`),
      open(`${prefix}/data`),
    ])
    await outer.create()
    const files = [someFile('pack', 1), someFile('pack', 2), someFile('pack', 3)]
    for (const [i, store] of [outer, longer, inner].entries())
      await store.save(files[i]?.file ?? neverFile, files[i]?.body ?? neverBody)
    expect(await collect(outer.list('pack'))).toEqual([{ id: files[0]?.file.id, size: 1 }])
  })
})

const neverFile = { type: 'pack', id: '' } as const
const neverBody = Buffer.alloc(0)

const lock = { retention: { mode: 'GOVERNANCE', days: 3 } } as const

/** Stores with object lock, in a bucket of their own that `create` made for it. */
async function locked(server: S3Server, objectLock: S3StoreOptions['objectLock']): Promise<S3Store> {
  const { accessKeyId, secretAccessKey } = server
  const location = `s3:${server.endpoint}/locked-${randomUUID()}/repo`
  const store = await openS3Store({
    location,
    credentials: { accessKeyId, secretAccessKey },
    ...small,
    ...(objectLock && { objectLock }),
  })
  await store.create()
  return store
}

against('versitygw', 'object lock', (server) => {
  it.each(fileTypes.filter((type) => type !== 'lock'))(
    'keeps a %s until its date, and says the date',
    async (type) => {
      await using store = await locked(server(), lock)
      const { file, body } = someFile(type, type === 'pack' ? 6 * 2 ** 20 : 100)
      await store.save(file, body)
      const error = await store.remove(file).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({
        code: 'StoreRefused',
        retry: 'after-change',
        place: expect.stringContaining(file.id),
      })
      const until = Date.parse(/until (\S+Z) \(GOVERNANCE\)/.exec(String(error))?.[1] ?? '')
      expect(Math.abs(until - Date.now() - 3 * 86_400_000)).toBeLessThan(600_000)
      expect((await store.load(file)).equals(body)).toBe(true)
    },
  )

  it('lets locks come and go', async () => {
    await using store = await locked(server(), lock)
    const { file, body } = someFile('lock', 100)
    await store.save(file, body)
    await store.remove(file)
    expect(await collect(store.list('lock'))).toEqual([])
  })

  it('keeps a file under a legal hold', async () => {
    await using store = await locked(server(), { legalHold: true })
    const { file, body } = someFile('pack', 100)
    await store.save(file, body)
    await expect(store.remove(file)).rejects.toMatchObject({
      code: 'StoreRefused',
      message: expect.stringMatching(/legal hold/),
    })
  })

  it('works with the conditional-write probe in the way: nothing is written twice', async () => {
    await using store = await locked(server(), lock)
    for (const type of fileTypes) {
      const { file, body } = someFile(type, 100)
      await store.save(file, body)
      expect((await store.load(file)).equals(body)).toBe(true)
    }
  })

  it('asked for in a bucket made without it, is refused', async () => {
    const plain = await ready(server())
    await using store = await openS3Store({
      location: plain.location,
      credentials: { accessKeyId: server().accessKeyId, secretAccessKey: server().secretAccessKey },
      objectLock: lock,
    })
    const { file, body } = someFile('pack', 100)
    expect(await failureOf(store.save(file, body))).toBe('StoreRefused')
  })
})

against(
  'versitygw',
  'object lock in a bucket with versions, as on AWS',
  (server) => {
    it('hides a removed file and keeps its bytes', async () => {
      await using store = await locked(server(), lock)
      const { file, body } = someFile('pack', 100)
      await store.save(file, body)
      await store.remove(file)
      expect(await collect(store.list('pack'))).toEqual([])
      expect(await failureOf(store.load(file))).toBe('NotFound')
      expect(await countVersions(server(), store)).toEqual({ contents: 1, markers: 1 })
    })

    storeMustBehave('versitygw with versions and object lock', async () => ({
      store: await locked(server(), lock),
    }))
  },
  { versioning: true },
)

async function countVersions(
  server: S3Server,
  store: S3Store,
): Promise<{ contents: number; markers: number }> {
  const sdk = await import('@aws-sdk/client-s3')
  const { accessKeyId, secretAccessKey, endpoint } = server
  const client = new sdk.S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
  const Bucket = store.location.split('/').at(-2) ?? ''
  const { Versions, DeleteMarkers } = await client.send(
    new sdk.ListObjectVersionsCommand({ Bucket, Prefix: 'repo/data/' }),
  )
  client.destroy()
  return { contents: Versions?.length ?? 0, markers: DeleteMarkers?.length ?? 0 }
}

describe.skipIf(findS3Server('versitygw') === undefined)('over TLS with a private authority', () => {
  let certificates: Certificates
  let plain: S3Server
  let secure: S3Server
  beforeAll(async () => {
    certificates = makeCertificates(scratch)
    plain = await startS3Server('versitygw')
    secure = await startS3Server('versitygw', {
      tls: { certificateFile: certificates.serverCertificateFile, keyFile: certificates.serverKeyFile },
    })
  })
  afterAll(async () => {
    await plain[Symbol.asyncDispose]()
    await secure[Symbol.asyncDispose]()
  })

  /** In front of the plain server: wants a certificate of the private authority from every client. */
  const mutual = () =>
    startMeddlingProxy(plain.endpoint, () => ({}), {
      cert: readFileSync(certificates.serverCertificateFile),
      key: readFileSync(certificates.serverKeyFile),
      ca: readFileSync(certificates.caFile),
      requestCert: true,
      rejectUnauthorized: true,
    })

  storeMustBehave(
    'versitygw over TLS',
    async () => ({ store: await opened(secure, { tls: { caFile: certificates.caFile } }) }),
    large,
  )

  storeMustBehave('versitygw behind mutual TLS', async () => {
    const proxy = await mutual()
    const { caFile, clientCertificateFile, clientKeyFile } = certificates
    const tls = { caFile, clientCertificateFile, clientKeyFile }
    return { store: await opened(plain, { tls }, proxy.endpoint), end: () => proxy[Symbol.asyncDispose]() }
  })

  it('a server of an unknown authority is refused, for good', async () => {
    await using store = await opened(secure)
    const refusal = {
      code: 'StoreRefused',
      retry: 'after-change',
      guidance: expect.stringMatching(/authority/),
    }
    await expect(store.create()).rejects.toMatchObject(refusal)
    await expect(collect(store.list('key'))).rejects.toMatchObject(refusal)
  })

  it('a client without its certificate is refused, and one file may hold certificate and key', async () => {
    await using proxy = await mutual()
    const { caFile, clientBothFile } = certificates
    await using without = await opened(plain, { tls: { caFile } }, proxy.endpoint)
    await expect(without.create()).rejects.toMatchObject({ code: 'StoreRefused', retry: 'after-change' })
    await using store = await opened(
      plain,
      { tls: { caFile, clientCertificateFile: clientBothFile } },
      proxy.endpoint,
    )
    await store.create()
    expect(await collect(store.list('key'))).toEqual([])
  })

  it.each([
    ['no file', { caFile: '/nonexistent.pem' }],
    ['no PEM', { caFile: import.meta.filename.replace(/s3\.test\.ts$/, 'memory.ts') }],
    ['a key without a certificate', { clientKeyFile: '/nonexistent.pem' }],
  ])('%s is InvalidInput', async (_, tls) => {
    expect(await failureOf(opened(secure, { tls }))).toBe('InvalidInput')
  })
})

describe.each(['restic-old', 'restic-new'] as const)('%s on the same server', (peerName) => {
  const peer = findPeer(peerName)
  const restic = (server: S3Server, location: string, ...args: string[]) => {
    const env = {
      ...process.env,
      RESTIC_PASSWORD: 'x',
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    }
    return spawnSync(peer?.command ?? '', ['--no-cache', '-r', location, ...args], { env, encoding: 'utf8' })
  }

  for (const name of ['versitygw', 'gofakes3'] as const) {
    against(name, `on ${name}`, (server) => {
      it.skipIf(peer === undefined)('its repository lists and loads as what it is', async () => {
        const { accessKeyId, secretAccessKey } = server()
        const location = `s3:${server().endpoint}/made-by-${peerName}/deep/prefix`
        expect(restic(server(), location, 'init').status).toBe(0)
        expect(restic(server(), location, 'backup', import.meta.dirname).status).toBe(0)
        await using store = await openStore(location, {
          s3: { credentials: { accessKeyId, secretAccessKey } },
        })
        for (const type of ['config', 'key', 'snapshot', 'index'] as const) {
          const rows = await collect(store.list(type))
          expect(rows.length).toBe(1)
          for (const { id, size } of rows) expect((await store.load({ type, id })).length).toBe(size)
        }
        expect((await collect(store.list('pack'))).length).toBeGreaterThanOrEqual(2)
        expect(await collect(store.list('lock'))).toEqual([])
      })

      it.skipIf(peer === undefined)('reads a repository our store wrote, file by file', async () => {
        const local = join(scratch, `${peerName}-${name}`)
        expect(restic(server(), local, 'init').status).toBe(0)
        expect(restic(server(), local, 'backup', import.meta.dirname).status).toBe(0)
        const { accessKeyId, secretAccessKey } = server()
        const location = `s3:${server().endpoint}/ours-for-${peerName}/prefix`
        const source = openFilesystemStore(local)
        await using target = await openStore(location, {
          s3: { credentials: { accessKeyId, secretAccessKey } },
        })
        await target.create()
        for (const type of fileTypes) {
          for await (const { id } of source.list(type))
            await target.save({ type, id }, await source.load({ type, id }))
        }
        const check = restic(server(), location, 'check', '--read-data')
        expect(check.stdout).toMatch(/no errors were found/)
        expect(check.status).toBe(0)
        const again = restic(server(), location, 'backup', import.meta.dirname)
        expect(again.status).toBe(0)
      })
    })
  }
})
