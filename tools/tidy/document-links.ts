import { posix } from 'node:path'
import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

/** Every relative link in a Markdown page leads to a committed file or folder. */
export function documentLinks(workspace: Workspace): readonly Finding[] {
  return workspace.files
    .filter(({ path }) => path.endsWith('.md'))
    .flatMap(({ path, text }) =>
      (text ?? '').split('\n').flatMap((line, index) =>
        targetsIn(line)
          .filter((target) => !exists(workspace, posix.join(posix.dirname(path), target)))
          .map((target) => ({
            rule: 'document-links',
            path,
            line: index + 1,
            message: `${target} does not exist`,
          })),
      ),
    )
}

function targetsIn(line: string): readonly string[] {
  return [...line.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target.replace(/#.*$/, ''))
    .filter((target) => target !== '' && !/^[a-z]+:/.test(target))
}

function exists(workspace: Workspace, path: string): boolean {
  const folder = `${path.replace(/\/$/, '')}/`
  return workspace.paths.has(path) || workspace.files.some((file) => file.path.startsWith(folder))
}
