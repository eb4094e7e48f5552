import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type ArchiveTool,
  describeRun,
  holdfastTool,
  mustRun,
  resticTool,
  runTool,
  type ToolOptions,
  type ToolRun,
  testPassword,
} from '../archive-tool.ts'
import { makeTree } from '../make-tree.ts'
import { findPeer, type PeerName } from '../peers.ts'
import { backUp, openScene, restoreDifferences, type Scene } from '../scene.ts'
import { seededRandom } from '../seeded-random.ts'
import { readManifest } from '../tree-manifest.ts'
import { makeCertificates } from './certificates.ts'
import { startMeddlingProxy } from './meddling-proxy.ts'
import { findS3Server, type S3Server, startS3Server } from './s3.ts'

const holdfast = holdfastTool()

describe.skipIf(findS3Server('versitygw') === undefined)('a repository on S3', () => {
  let server: S3Server
  beforeAll(async () => {
    server = await startS3Server('versitygw')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** A scene whose repository is in a bucket of its own. */
  const onS3 = (bucket: string, endpoint = server.endpoint): Scene => {
    const scene = openScene()
    const env = {
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
      HOLDFAST_CACHE_DIR: `${scene.dir}/cache`,
    }
    const repo = `s3:${endpoint}/${bucket}/some/prefix`
    return { ...scene, repo, at: { repo, cwd: scene.dir, env } }
  }

  describe.each<PeerName>(['restic-old', 'restic-new'])('against %s', (name) => {
    const peer = findPeer(name)
    const restic = peer === undefined ? holdfast : resticTool(peer)
    it.skipIf(peer === undefined).each([
      { first: 'holdfast', writer: holdfast, reader: restic },
      { first: 'restic', writer: restic, reader: holdfast },
    ])(
      'made by $first, both check it, restore it equal, share its blobs and prune it',
      ({ first, writer, reader }) => {
        using scene = onS3(`${name}-${first}`)
        makeTree(scene.tree, scene.libc, { seed: 5, oldSafe: name === 'restic-old' })
        const expected = readManifest(scene.tree, scene.libc)
        mustRun(writer, scene.at, ['init'])
        backUp(writer, scene)
        expect(Number(backUp(reader, scene, ['--force'])['data_added'])).toBeLessThan(100_000)
        for (const tool of [reader, writer]) {
          mustRun(tool, scene.at, ['check', '--read-data'])
          expect(restoreDifferences(tool, scene, expected)).toEqual([])
        }
        mustRun(reader, scene.at, ['forget', '--keep-last', '1', '--prune'])
        mustRun(writer, scene.at, ['check', '--read-data'])
        expect(restoreDifferences(writer, scene, expected)).toEqual([])
      },
    )
  })

  it('is refused to a second init, and named when it is not there', () => {
    using scene = onS3('twice')
    const missing = runTool(holdfast, scene.at, ['snapshots'])
    expect(missing.status).not.toBe(0)
    expect(missing.stderr).toMatch(/twice/)
    mustRun(holdfast, scene.at, ['init'])
    const again = runTool(holdfast, scene.at, ['init'])
    expect(again.status).not.toBe(0)
    expect(again.stderr).toMatch(/already/)
  })

  it('comes through a network that loses one request or answer in ten', async () => {
    const random = seededRandom(9)
    await using proxy = await startMeddlingProxy(server.endpoint, () =>
      random.chance(0.1) ? { drop: random.pick(['before', 'after'] as const) } : {},
    )
    using scene = onS3('lossy', proxy.endpoint)
    makeTree(scene.tree, scene.libc, { seed: 6 })
    const expected = readManifest(scene.tree, scene.libc)
    for (const args of [
      ['init'],
      ['backup', 'tree'],
      ['check', '--read-data'],
      ['forget', '--keep-last', '1', '--prune'],
    ]) {
      await mustFinish(holdfast, scene.at, args)
    }
    expect(proxy.seen.length).toBeGreaterThan(20)
    const direct = {
      ...scene,
      at: { ...scene.at, repo: scene.repo.replace(proxy.endpoint, server.endpoint) },
    }
    expect(restoreDifferences(holdfast, direct, expected)).toEqual([])
    const peer = findPeer('restic-new')
    if (peer !== undefined) mustRun(resticTool(peer), direct.at, ['check', '--read-data'])
  })

  it('is reached over mutual TLS with the same files that restic takes', async () => {
    using scene = onS3('mutual')
    mkdirSync(`${scene.dir}/tls`)
    const files = makeCertificates(`${scene.dir}/tls`)
    await using proxy = await startMeddlingProxy(server.endpoint, () => ({}), {
      cert: readFileSync(files.serverCertificateFile),
      key: readFileSync(files.serverKeyFile),
      ca: readFileSync(files.caFile),
      requestCert: true,
      rejectUnauthorized: true,
    })
    const at = { ...scene.at, repo: scene.repo.replace(server.endpoint, proxy.endpoint) }
    const { caFile, clientCertificateFile, clientKeyFile } = files
    const flags = [
      '--s3-ca-file',
      caFile,
      '--s3-client-cert',
      clientCertificateFile,
      '--s3-client-key',
      clientKeyFile,
    ]
    await mustFinish(holdfast, at, ['init', ...flags])
    const refused = await finished(holdfast, at, ['snapshots'])
    expect(refused.status).not.toBe(0)
    expect(refused.stderr).toMatch(/certificate/i)
    const peer = findPeer('restic-new')
    if (peer === undefined) return
    const same = ['--cacert', files.caFile, '--tls-client-cert', files.clientBothFile]
    await mustFinish(resticTool(peer), at, ['check', ...same])
  })

  it('under object lock keeps what forget would remove, says until when, and stays whole', () => {
    using scene = onS3('locked')
    makeTree(scene.tree, scene.libc, { seed: 7, files: 5 })
    const lock = ['--s3-object-lock-mode', 'governance', '--s3-object-lock-days', '2']
    mustRun(holdfast, scene.at, ['init', ...lock])
    for (let i = 0; i < 2; i++) mustRun(holdfast, scene.at, ['backup', ...lock, 'tree'])
    const forget = runTool(holdfast, scene.at, ['forget', '--keep-last', '1', ...lock])
    expect(forget.status).not.toBe(0)
    expect(forget.stdout + forget.stderr).toMatch(/retention until \d{4}-\d\d-\d\dT/)
    mustRun(holdfast, scene.at, ['check', '--read-data'])
    expect(JSON.parse(mustRun(holdfast, scene.at, ['snapshots', '--json']))).toHaveLength(2)
  })
})

async function mustFinish(tool: ArchiveTool, options: ToolOptions, args: readonly string[]): Promise<void> {
  const run = await finished(tool, options, args)
  if (run.status !== 0) throw new Error(describeRun(tool, args, run))
}

/** Runs a verb without blocking this process, in which the proxy lives. */
function finished(tool: ArchiveTool, options: ToolOptions, args: readonly string[]): Promise<ToolRun> {
  const [program = '', ...leading] = tool.command
  const child = spawn(program, [...leading, ...args], {
    env: {
      ...process.env,
      ...options.env,
      RESTIC_REPOSITORY: options.repo,
      RESTIC_PASSWORD: testPassword,
      HOLDFAST_REPOSITORY: options.repo,
      HOLDFAST_PASSWORD: testPassword,
    },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status, signal) => resolve({ status, signal, stdout, stderr }))
  })
}
