import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { findPeer } from '../../../../tests/peers.ts'
import { fileTypes } from './blob-store.ts'
import { someFile, storeMustBehave } from './conformance.testing.ts'
import { collect } from './doubles.testing.ts'
import { openFilesystemStore } from './filesystem.ts'
import { filesystemPath } from './filesystem-path.ts'
import { sweepAbandonedFiles } from './filesystem-sweep.ts'
import { savePackSync } from './filesystem-write.ts'

const scratch: string[] = []
const freshDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-store-'))
  scratch.push(directory)
  return directory
}
afterEach(() => {
  for (const directory of scratch.splice(0)) rmSync(directory, { recursive: true, force: true })
})

storeMustBehave('filesystem', async () => ({ store: openFilesystemStore(join(freshDirectory(), 'repo')) }))

async function storeWithConfig() {
  const root = join(freshDirectory(), 'repo')
  const store = openFilesystemStore(root)
  await store.create()
  const config = someFile('config', 155)
  await store.save(config.file, config.body)
  return { root, store }
}

describe('the filesystem store', () => {
  it('makes files 0400 and directories 0700, and 0440 and 0770 in a repository its group may read', async () => {
    const { root, store } = await storeWithConfig()
    const first = someFile('pack', 10)
    await store.save(first.file, first.body)
    expect(statSync(filesystemPath(root, first.file)).mode & 0o7777).toBe(0o400)
    expect(statSync(join(root, 'data', '00')).mode & 0o7777).toBe(0o700)
    chmodSync(join(root, 'config'), 0o440)
    const second = someFile('pack', 10)
    rmSync(dirname(filesystemPath(root, second.file)), { recursive: true })
    await store.save(second.file, second.body)
    expect(statSync(filesystemPath(root, second.file)).mode & 0o7777).toBe(0o440)
    expect(statSync(dirname(filesystemPath(root, second.file))).mode & 0o070).toBe(0o070 & ~process.umask())
  })

  it('lists neither temporary files, foreign files, directories nor packs in the wrong shard', async () => {
    const { root, store } = await storeWithConfig()
    const { file, body } = someFile('pack', 10)
    await store.save(file, body)
    const shard = dirname(filesystemPath(root, file))
    const elsewhere = file.id.startsWith('00') ? '01' : '00'
    writeFileSync(join(shard, `${file.id}-tmp-1-abc`), 'x')
    writeFileSync(join(shard, 'README'), 'x')
    writeFileSync(join(root, 'data', 'stray'), 'x')
    writeFileSync(join(root, 'data', elsewhere, file.id), 'x')
    mkdirSync(join(shard, someFile('pack', 5).file.id))
    expect(await collect(store.list('pack'))).toEqual([{ id: file.id, size: 10 }])
  })

  it('leaves no temporary file behind, whether a save succeeds or fails', async () => {
    const { root, store } = await storeWithConfig()
    const config = someFile('config', 155)
    await Promise.allSettled([store.save(config.file, config.body), store.save(config.file, config.body)])
    for (const type of fileTypes.filter((each) => each !== 'config')) {
      const { file, body } = someFile(type, 100)
      await store.save(file, body)
    }
    const names = readdirSync(root, { recursive: true, encoding: 'utf8' })
    expect(names.filter((name) => name.includes('-tmp-'))).toEqual([])
  })

  it('tells an absent directory from a directory without a repository', async () => {
    const empty = freshDirectory()
    const config = { type: 'config', id: '' } as const
    await expect(openFilesystemStore(empty).load(config)).rejects.toThrow(/is there, but holds no repository/)
    const gone = openFilesystemStore(join(empty, 'gone'))
    await expect(gone.load(config)).rejects.toMatchObject({
      code: 'NotFound',
      message: expect.stringMatching(/does not exist/),
    })
  })

  it('never takes an unmounted disk for an empty repository', async () => {
    const root = join(freshDirectory(), 'gone')
    const store = openFilesystemStore(root)
    const { file, body } = someFile('pack', 10)
    const unavailable = { code: 'StoreUnavailable', retry: 'after-change' }
    await expect(collect(store.list('snapshot'))).rejects.toMatchObject(unavailable)
    await expect(store.load(file)).rejects.toMatchObject(unavailable)
    await expect(store.remove(file)).rejects.toMatchObject(unavailable)
    await expect(store.save(file, body)).rejects.toMatchObject(unavailable)
    mkdirSync(root)
    await expect(store.save(file, body)).rejects.toMatchObject(unavailable)
    expect(readdirSync(root)).toEqual([])
  })

  it('refuses a location that is a file', async () => {
    const path = join(freshDirectory(), 'file')
    writeFileSync(path, 'x')
    await expect(openFilesystemStore(path).create()).rejects.toMatchObject({ code: 'StoreRefused' })
    await expect(collect(openFilesystemStore(path).list('key'))).rejects.toMatchObject({
      code: 'StoreRefused',
    })
  })

  it('does not hang on a FIFO or follow a loop planted under a file’s name', async () => {
    const { root, store } = await storeWithConfig()
    const pipe = someFile('key', 10)
    expect(spawnSync('mkfifo', [filesystemPath(root, pipe.file)]).status).toBe(0)
    await expect(store.load(pipe.file)).rejects.toMatchObject({ code: 'Damaged' })
    const loop = someFile('key', 10)
    symlinkSync(filesystemPath(root, loop.file), filesystemPath(root, loop.file))
    await expect(store.load(loop.file)).rejects.toMatchObject({ code: 'StoreRefused' })
  })
})

/** What a real kernel answers: a mount of 1 MiB in a mount namespace, and a user who is not root. */
describe('the kernel’s refusals', () => {
  const store = JSON.stringify(join(import.meta.dirname, 'filesystem.ts'))
  const preamble = `
    import { openFilesystemStore } from ${store}
    import { createHash, randomBytes } from 'node:crypto'
    import { readdirSync } from 'node:fs'
    const root = process.argv[1]
    const store = openFilesystemStore(root)
    const put = async (type, body) => {
      const file = { type, id: createHash('sha256').update(body).digest('hex') }
      await store.save(file, body)
      return file
    }
    const outcome = (work) => work.then(() => 'done', (error) => error.code + ' ' + error.retry + ' ' + error.message.split(': ').pop())
  `
  const fill = `${preamble}
    await store.create()
    await store.save({ type: 'config', id: '' }, Buffer.alloc(155))
    const first = await put('pack', randomBytes(100_000))
    const full = await outcome(put('pack', randomBytes(4_000_000)))
    const sizes = []
    for await (const row of store.list('pack')) sizes.push(row.size)
    const left = readdirSync(root, { recursive: true }).filter((name) => name.includes('-tmp-')).length
    await put('pack', randomBytes(1000))
    console.log(JSON.stringify({ full, sizes, left, first: (await store.load(first)).length }))`
  const change = `${preamble}
    const lock = { type: 'lock', id: 'a'.repeat(64) }
    console.log(JSON.stringify([await outcome(put('lock', randomBytes(10))), await outcome(store.remove(lock))]))`
  const node = (program: string, root: string): string =>
    `'${process.execPath}' --input-type=module -e "$(cat '${scriptFile(program)}')" '${root}'`
  const scriptFile = (program: string): string => {
    const path = join(freshDirectory(), 'program.mjs')
    writeFileSync(path, program)
    return path
  }
  const mounted = (at: string, script: string) =>
    spawnSync(
      'unshare',
      [
        '--user',
        '--map-root-user',
        '--mount',
        'sh',
        '-ec',
        `mount -t tmpfs -o size=1m,nr_inodes=2000 tmpfs '${at}'\n${script}`,
      ],
      { encoding: 'utf8' },
    )
  const canMount = (() => {
    const at = mkdtempSync(join(tmpdir(), 'holdfast-mount-'))
    const { status } = mounted(at, 'true')
    rmSync(at, { recursive: true })
    return status === 0
  })()

  it.skipIf(!canMount)(
    'a full disk is unavailable until something changes, keeps what was there, and takes what fits',
    () => {
      const at = freshDirectory()
      const run = mounted(at, node(fill, join(at, 'repo')))
      expect(run.stderr).toBe('')
      expect(JSON.parse(run.stdout)).toEqual({
        full: 'StoreUnavailable after-change ENOSPC.',
        sizes: [100_000],
        left: 0,
        first: 100_000,
      })
    },
  )

  it.skipIf(!canMount)('a read-only mount refuses', () => {
    const at = freshDirectory()
    const root = join(at, 'repo')
    const script = [
      node(fill, root),
      `echo x > '${root}/locks/${'a'.repeat(64)}'`,
      `mount -o remount,ro '${at}'`,
      node(change, root),
    ]
    const run = mounted(at, script.join('\n'))
    expect(run.stderr).toBe('')
    expect(JSON.parse(run.stdout.trim().split('\n').at(-1) ?? '')).toEqual([
      'StoreRefused after-change EROFS.',
      'StoreRefused after-change EROFS.',
    ])
  })

  it('a directory of somebody else refuses', async () => {
    const { root } = await storeWithConfig()
    chmodSync(join(root, 'locks'), 0o555)
    for (const path of [dirname(root), root]) chmodSync(path, 0o755)
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', change, root], {
      encoding: 'utf8',
      ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
    })
    expect(run.stderr).toBe('')
    expect(JSON.parse(run.stdout)[0]).toBe('StoreRefused after-change EACCES.')
  })
})

describe('savePackSync', () => {
  it('shows the pack only after commit, and lets the buffer be reused at once', async () => {
    const { root, store } = await storeWithConfig()
    const { file, body } = someFile('pack', 5000)
    const buffer = Buffer.from(body)
    const pending = savePackSync(root, file.id, buffer)
    buffer.fill(0)
    expect(await collect(store.list('pack'))).toEqual([])
    await pending.commit()
    expect((await store.load(file)).equals(body)).toBe(true)
    expect(statSync(filesystemPath(root, file)).mode & 0o7777).toBe(0o400)
  })

  it('leaves nothing when it is discarded', async () => {
    const { root } = await storeWithConfig()
    const { file, body } = someFile('pack', 5000)
    savePackSync(root, file.id, body).discard()
    expect(readdirSync(dirname(filesystemPath(root, file)))).toEqual([])
  })

  it('makes a missing shard, but not a missing repository', async () => {
    const { root, store } = await storeWithConfig()
    const { file, body } = someFile('pack', 50)
    rmSync(dirname(filesystemPath(root, file)), { recursive: true })
    await savePackSync(root, file.id, body).commit()
    expect(await store.stat(file)).toEqual({ size: 50 })
    expect(() => savePackSync(join(root, 'nowhere'), file.id, body)).toThrow(/ENOENT/)
  })
})

describe('sweepAbandonedFiles', () => {
  it('removes what crashed writers left and nothing that is young, named or foreign', async () => {
    const { root, store } = await storeWithConfig()
    const { file, body } = someFile('pack', 10)
    await store.save(file, body)
    const path = filesystemPath(root, file)
    const now = Date.now()
    const write = (name: string, ageHours: number): string => {
      writeFileSync(name, 'torn')
      utimesSync(name, new Date(), new Date(now - ageHours * 3_600_000))
      return name
    }
    const abandoned = [
      write(join(root, 'config-tmp-7-ab'), 30),
      write(`${path}-tmp-12-0f`, 30),
      write(`${path}-tmp-123456`, 30),
    ]
    const kept = [write(`${path}-tmp-9-aa`, 1), write(join(root, 'notes-tmp-1'), 30)]
    utimesSync(path, new Date(), new Date(now - 1e9))
    const swept = await sweepAbandonedFiles(root, { now, olderThanMs: 24 * 3_600_000 })
    expect(swept.map((each) => each.path).toSorted()).toEqual(abandoned.toSorted())
    expect(kept.map((name) => statSync(name).size)).toEqual([4, 4])
    expect(await store.stat(file)).toEqual({ size: 10 })
  })
})

describe.each(['restic-old', 'restic-new'] as const)('a repository %s made', (name) => {
  const peer = findPeer(name)
  it.skipIf(peer === undefined)('lists and loads as what it is', async () => {
    const root = join(freshDirectory(), 'repo')
    const init = spawnSync(peer?.command ?? '', ['-r', root, 'init'], {
      env: { ...process.env, RESTIC_PASSWORD: 'x' },
    })
    expect(init.status).toBe(0)
    const store = openFilesystemStore(root)
    expect(await collect(store.list('config'))).toEqual([{ id: '', size: 155 }])
    const keys = await collect(store.list('key'))
    expect(keys).toHaveLength(1)
    expect(JSON.parse((await store.load({ type: 'key', id: keys[0]?.id ?? '' })).toString())).toHaveProperty(
      'kdf',
      'scrypt',
    )
    const mine = join(freshDirectory(), 'mine')
    await openFilesystemStore(mine).create()
    const layout = (at: string): string[] =>
      readdirSync(at, { recursive: true, encoding: 'utf8', withFileTypes: false })
        .filter((path) => !/config|keys\/./.test(path))
        .sort()
    expect(layout(mine)).toEqual(layout(root))
    const modeOf = (at: string): number => statSync(at).mode & 0o777
    expect(modeOf(join(root, 'config'))).toBe(0o400)
    expect(modeOf(join(mine, 'data', 'ff'))).toBe(modeOf(join(root, 'data', 'ff')))
  })
})
