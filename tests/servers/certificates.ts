/** A private authority with a server and a client certificate, made with openssl for one test run. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Paths of PEM files. */
export interface Certificates {
  readonly caFile: string
  readonly serverCertificateFile: string
  readonly serverKeyFile: string
  readonly clientCertificateFile: string
  readonly clientKeyFile: string
  /** The client's certificate and key in one file, as restic takes them. */
  readonly clientBothFile: string
}

/** Makes the certificates in `directory`: the server's for 127.0.0.1, valid for a day. */
export function makeCertificates(directory: string): Certificates {
  const path = (name: string): string => join(directory, name)
  run(
    directory,
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=holdfast -keyout ca.key -out ca.pem',
  )
  sign(directory, 'server', 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
  sign(directory, 'client', 'extendedKeyUsage=clientAuth\n')
  const both = spawnSync('cat', ['client.pem', 'client.key'], { cwd: directory })
  writeFileSync(path('client-both.pem'), both.stdout, { mode: 0o600 })
  return {
    caFile: path('ca.pem'),
    serverCertificateFile: path('server.pem'),
    serverKeyFile: path('server.key'),
    clientCertificateFile: path('client.pem'),
    clientKeyFile: path('client.key'),
    clientBothFile: path('client-both.pem'),
  }
}

function sign(directory: string, name: string, extensions: string): void {
  writeFileSync(join(directory, `${name}.ext`), extensions)
  run(
    directory,
    `req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=${name} -keyout ${name}.key -out ${name}.csr`,
  )
  run(
    directory,
    `x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ${name}.ext -out ${name}.pem`,
  )
}

function run(directory: string, command: string): void {
  const { status, stderr } = spawnSync('openssl', command.split(' '), { cwd: directory, encoding: 'utf8' })
  if (status !== 0) throw new Error(`openssl ${command} failed: ${stderr}`)
}
