import { availableParallelism } from 'node:os'
import { type MessagePort, parentPort, type Transferable, Worker } from 'node:worker_threads'
import { type ErrorCode, HoldfastError, isHoldfastError, type Retry } from '@holdfast/contract'

export interface WorkerPoolOptions {
  readonly entry: URL
  readonly workerData: unknown
  /** Threads; the machine's parallelism, at most 8, when left out. */
  readonly size?: number
  /** Jobs handed to one thread before its first answers: enough that it never idles between two. */
  readonly depth?: number
  /** Awaited before a job is handed out: holds producers back for reasons outside the pool. */
  readonly admit?: () => Promise<void>
  /** Receives whatever a worker posts besides its answers. */
  readonly onMessage?: (message: unknown, worker: number) => void
}

/** An error as it crosses between threads: structured cloning would lose its class and members. */
type PlainError =
  | {
      readonly kind: 'holdfast'
      readonly code: ErrorCode
      readonly message: string
      readonly place?: string | undefined
      readonly guidance?: string | undefined
      readonly retry: Retry
    }
  /** From a system call; whoever handles them looks at `errno` and `code`. */
  | { readonly kind: 'system'; readonly message: string; readonly members: Readonly<Record<string, unknown>> }
  | { readonly kind: 'other'; readonly message: string; readonly stack: string | undefined }

type Answer<Result> =
  | { readonly jobDone: number; readonly result: Result }
  | { readonly jobFailed: number; readonly error: PlainError }

interface Member {
  readonly thread: Worker
  readonly number: number
  readonly ended: Promise<void>
  outstanding: number
}

interface Waiting<Result> {
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
  readonly member: Member
}

/**
 * Worker threads that answer jobs, each started when a job finds all others busy: a small task pays
 * for one. `run` waits for a free place, so a producer that awaits it is held to the pace of the
 * workers. A thread that dies fails every job it held.
 */
export class WorkerPool<Job, Result> {
  /** Threads there may be. */
  readonly size: number
  readonly #options: WorkerPoolOptions
  readonly #members: Member[] = []
  readonly #broadcasts: unknown[] = []
  readonly #depth: number
  readonly #jobs = new Map<number, Waiting<Result>>()
  readonly #forPlace: (() => void)[] = []
  readonly #admit: () => Promise<void>
  #lastJob = 0
  #broken: unknown

  constructor(options: WorkerPoolOptions) {
    this.size = options.size ?? Math.min(8, availableParallelism())
    this.#depth = options.depth ?? 2
    this.#admit = options.admit ?? (async () => await Promise.resolve())
    this.#options = options
  }

  /** Resolves with the job's answer. `worker` pins it to one thread, regardless of how busy that is. */
  async run(job: Job, transfer: readonly Transferable[] = [], worker?: number): Promise<Result> {
    const answer = await this.start(job, transfer, worker)
    return await answer.result
  }

  /** Resolves as soon as the job was handed over; the answer is a promise inside the value. */
  async start(
    job: Job,
    transfer: readonly Transferable[] = [],
    worker?: number,
  ): Promise<{ readonly result: Promise<Result> }> {
    await this.#admit()
    const member = worker === undefined ? await this.#takePlace() : this.#pinnedPlace(worker)
    if (this.#broken !== undefined) throw this.#broken
    const id = ++this.#lastJob
    const result = new Promise<Result>((resolve, reject) => this.#jobs.set(id, { resolve, reject, member }))
    // the caller may look at it only later; a rejection meanwhile is not an unhandled one
    result.catch(() => undefined)
    member.thread.postMessage({ id, job }, transfer)
    return { result }
  }

  /** Runs a job on every thread that was started, regardless of how busy it is. */
  async runOnStarted(job: Job): Promise<Result[]> {
    return await Promise.all(this.#members.map(async ({ number }) => await this.run(job, [], number)))
  }

  /** Posts a message outside the job protocol to every thread; to those yet to start, before their first job. */
  broadcast(message: unknown): void {
    this.#broadcasts.push(message)
    for (const member of this.#members) member.thread.postMessage({ message })
  }

  /**
   * Ends all threads; jobs still running fail. A thread ends itself, between two steps of its own:
   * ended from outside while it is inside a native call, koffi would take the whole process with it.
   * Only one that waits for something that no longer comes is ended from outside, after 5 seconds.
   */
  async close(): Promise<void> {
    this.#fail(new HoldfastError('Cancelled', 'the worker pool was closed'))
    await Promise.all(this.#members.map(endThread))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #startMember(): Member {
    const options = this.#options
    const number = this.#members.length
    const thread = new Worker(options.entry, {
      workerData: options.workerData,
      // short-lived objects die young: a small nursery keeps resident memory down
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    })
    const ended = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
    const member: Member = { thread, number, ended, outstanding: 0 }
    thread.on('message', (message: Answer<Result> | { readonly other: unknown }) => {
      if ('other' in message) options.onMessage?.(message.other, number)
      else this.#settle(message)
    })
    thread.on('error', (error) => this.#fail(error))
    thread.on('exit', (code) =>
      this.#fail(new HoldfastError('Internal', `a worker thread ended with code ${code}`)),
    )
    for (const message of this.#broadcasts) thread.postMessage({ message })
    this.#members.push(member)
    return member
  }

  #settle(answer: Answer<Result>): void {
    const id = 'jobDone' in answer ? answer.jobDone : answer.jobFailed
    const waiting = this.#jobs.get(id)
    if (waiting === undefined) return
    this.#jobs.delete(id)
    waiting.member.outstanding--
    if ('jobDone' in answer) waiting.resolve(answer.result)
    else waiting.reject(reviveError(answer.error))
    this.#forPlace.shift()?.()
  }

  #pinnedPlace(worker: number): Member {
    if (worker >= this.size) throw new HoldfastError('Internal', `there is no worker ${worker}`)
    while (this.#members.length < worker) this.#startMember()
    const member = this.#members[worker] ?? this.#startMember()
    member.outstanding++
    return member
  }

  /** Counts the place as taken before anybody else can look: many may be asking at once. */
  async #takePlace(): Promise<Member> {
    for (;;) {
      if (this.#broken !== undefined) throw this.#broken
      const member = this.#leastBusy()
      if (member.outstanding < this.#depth) {
        member.outstanding++
        return member
      }
      await new Promise<void>((resolve) => this.#forPlace.push(resolve))
    }
  }

  #leastBusy(): Member {
    const [first, ...others] = this.#members
    if (first === undefined) return this.#startMember()
    const least = others.reduce((a, b) => (b.outstanding < a.outstanding ? b : a), first)
    return least.outstanding > 0 && this.#members.length < this.size ? this.#startMember() : least
  }

  #fail(error: unknown): void {
    this.#broken ??= error
    for (const waiting of this.#jobs.values()) waiting.reject(this.#broken)
    this.#jobs.clear()
    for (const wake of this.#forPlace.splice(0)) wake()
  }
}

async function endThread({ thread, ended }: Member): Promise<void> {
  thread.postMessage({ end: true })
  const stuck = setTimeout(() => void thread.terminate(), 5000)
  await ended
  clearTimeout(stuck)
}

/** What a worker's job handler may give back: the answer and what moves with it instead of being copied. */
export interface JobAnswer<Result> {
  readonly result: Result
  readonly transfer?: readonly Transferable[]
}

export interface JobServer {
  /** Posts to the pool's onMessage. */
  post(message: unknown, transfer?: readonly Transferable[]): void
}

/**
 * The worker's side: answers jobs one at a time, in order. An error a handler throws fails that job
 * only. `onMessage` receives what `broadcast` posts, between two jobs.
 */
export function serveJobs<Job, Result>(
  handle: (job: Job) => JobAnswer<Result> | Promise<JobAnswer<Result>>,
  onMessage: (message: unknown) => void = () => undefined,
): JobServer {
  const port = ownPort()
  let last: Promise<void> = Promise.resolve()
  let ending = false
  const answer = async (id: number, job: Job): Promise<void> => {
    if (ending) return
    try {
      const { result, transfer } = await handle(job)
      port.postMessage({ jobDone: id, result }, transfer ?? [])
    } catch (error) {
      port.postMessage({ jobFailed: id, error: plainError(error) })
    }
  }
  port.on(
    'message',
    (
      envelope:
        | { readonly id: number; readonly job: Job }
        | { readonly message: unknown }
        | { readonly end: true },
    ) => {
      // with its port closed and its jobs passed over, nothing keeps the thread
      if ('end' in envelope) {
        ending = true
        port.close()
      } else if ('message' in envelope) onMessage(envelope.message)
      else last = last.then(async () => await answer(envelope.id, envelope.job))
    },
  )
  return { post: (message, transfer) => port.postMessage({ other: message }, transfer ?? []) }
}

function ownPort(): MessagePort {
  if (parentPort === null) throw new HoldfastError('Internal', 'this file runs as a worker thread only')
  return parentPort
}

function plainError(error: unknown): PlainError {
  if (isHoldfastError(error)) {
    const { code, message, place, guidance, retry } = error
    return { kind: 'holdfast', code, message, place, guidance, retry }
  }
  if (!(error instanceof Error)) return { kind: 'other', message: String(error), stack: undefined }
  const { errno, code, syscall, path } = error as NodeJS.ErrnoException
  if (errno === undefined) return { kind: 'other', message: error.message, stack: error.stack }
  return { kind: 'system', message: error.message, members: { errno, code, syscall, path } }
}

function reviveError(error: PlainError): Error {
  switch (error.kind) {
    case 'holdfast':
      return new HoldfastError(error.code, error.message, {
        retry: error.retry,
        ...(error.place === undefined ? {} : { place: error.place }),
        ...(error.guidance === undefined ? {} : { guidance: error.guidance }),
      })
    case 'system':
      return Object.assign(new Error(error.message), error.members)
    case 'other':
      return new HoldfastError('Internal', `a worker thread failed: ${error.message}`, { cause: error.stack })
  }
}

/** The worker file beside `moduleUrl`, in TypeScript when running from source and JavaScript when built. */
export function workerEntry(moduleUrl: string, name: string): URL {
  return new URL(`./${name}${moduleUrl.endsWith('.ts') ? '.ts' : '.js'}`, moduleUrl)
}
