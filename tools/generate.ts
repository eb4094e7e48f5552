/**
 * Writes the files that are made from other files, or with `--check` says which are out of date. Today there
 * is one: `packages/README.md` lists the first sentence of each package's own README.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

function generate(): void {
  const wanted = new Map([['packages/README.md', packageList()]])
  const stale = [...wanted].filter(([path, text]) => read(path) !== text)
  if (process.argv.includes('--check')) {
    for (const [path] of stale) console.log(`${path} is not what \`npm run generate\` writes`)
    process.exitCode = stale.length === 0 ? 0 : 1
    return
  }
  for (const [path, text] of stale) {
    writeFileSync(join(root, path), text)
    console.log(`wrote ${path}`)
  }
}

function packageList(): string {
  const rows = readdirSync(join(root, 'packages'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(root, 'packages', entry.name, 'package.json')))
    .map((entry) => `- [\`${entry.name}\`](${entry.name}/README.md): ${firstSentence(entry.name)}`)
  return [
    '# Packages',
    '',
    'One sentence each, from their own pages. The arrows between them are in [ARCHITECTURE.md](../ARCHITECTURE.md).',
    '',
    ...rows.toSorted(),
    '',
  ].join('\n')
}

function firstSentence(name: string): string {
  const line = read(`packages/${name}/README.md`)?.split('\n', 1)[0] ?? ''
  if (!/^[A-Z].*\.$/.test(line)) {
    throw new Error(
      `packages/${name}/README.md must begin with one sentence on one line, and begins with: ${line}`,
    )
  }
  return line
}

function read(path: string): string | undefined {
  const file = join(root, path)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

generate()
