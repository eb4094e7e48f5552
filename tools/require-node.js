// Loaded before every script of the workspace with `node --import`. Plain JavaScript without new syntax,
// because its one task is to be understood by a Node too old to run the rest.
const wanted = [24, 15]
const parts = process.versions.node.split('.')
const major = Number(parts[0])
const minor = Number(parts[1])

if (major < wanted[0] || (major === wanted[0] && minor < wanted[1])) {
  process.stderr.write(
    `Holdfast needs Node ${wanted.join('.')} or newer and this is ${process.versions.node} (${process.execPath}): ` +
      'run `npm ci` (on Linux x64 it brings Node 24 along) and use `npm run ...` or `npx holdfast`, or install Node 24.\n',
  )
  process.exit(1)
}
