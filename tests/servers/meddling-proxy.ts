/** A proxy between a store and a real S3 server that does to requests what networks and other servers do. */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'

/** One request as it came. Header names are in lower case. */
export interface SeenRequest {
  readonly method: string
  /** With the query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** What happens to a request. Without `answer` and the like it goes through. */
export interface Meddling {
  /** Header names that do not reach the server. */
  readonly strip?: readonly string[]
  /** Answered here; the server hears nothing. */
  readonly answer?: {
    readonly status: number
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
  }
  /** The connection is dropped: before the server hears of it, or after it answered. */
  readonly drop?: 'before' | 'after'
  /** Nothing is ever answered. */
  readonly hang?: boolean
  /** The answer's body ends, with the connection, after so many bytes. */
  readonly cutAfter?: number
}

export interface MeddlingProxy extends AsyncDisposable {
  readonly endpoint: string
  readonly seen: SeenRequest[]
}

/** Starts a proxy to the http server at `target`. The Host header goes through as it is, so signatures hold. */
export async function startMeddlingProxy(
  target: string,
  meddle: (request: SeenRequest) => Meddling,
  tls?: ServerOptions,
): Promise<MeddlingProxy> {
  const seen: SeenRequest[] = []
  const listener: RequestListener = (incoming, outgoing) => {
    const asked = { method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers }
    seen.push(asked)
    pass(target, incoming, outgoing, meddle(asked))
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    seen,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function pass(target: string, incoming: IncomingMessage, outgoing: ServerResponse, what: Meddling): void {
  if (what.drop === 'before') return void incoming.socket.destroy()
  if (what.hang === true || what.answer !== undefined) {
    incoming.resume()
    const { status, headers = {}, body = '' } = what.answer ?? { status: 0 }
    if (what.answer !== undefined) incoming.on('end', () => outgoing.writeHead(status, headers).end(body))
    return
  }
  const headers = { ...incoming.headers }
  for (const name of what.strip ?? []) delete headers[name]
  const { hostname, port } = new URL(target)
  const onward = request(
    { hostname, port, method: incoming.method, path: incoming.url, headers, setHost: false, agent: false },
    (answer) => relay(answer, outgoing, what),
  )
  onward.on('error', () => incoming.socket.destroy())
  incoming.pipe(onward)
}

function relay(answer: IncomingMessage, outgoing: ServerResponse, what: Meddling): void {
  if (what.drop === 'after') {
    answer.resume()
    answer.on('end', () => outgoing.socket?.destroy())
    return
  }
  outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
  if (what.cutAfter === undefined) return void answer.pipe(outgoing)
  let left = what.cutAfter
  answer.on('data', (chunk: Buffer) => {
    outgoing.write(chunk.subarray(0, left))
    left -= chunk.length
    // Give what was written time to leave before the connection goes.
    if (left <= 0) setImmediate(() => outgoing.socket?.destroySoon())
  })
}
