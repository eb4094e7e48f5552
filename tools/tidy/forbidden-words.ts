import type { Finding } from './finding.ts'
import type { Workspace } from './workspace.ts'

const slash = '/'
const forbidden: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  {
    what: 'a path of the machine it was written on',
    pattern: new RegExp(`(?<![\\w.-])${slash}work${slash}`),
  },
  {
    what: 'a folder outside the repository',
    pattern: new RegExp(`\\.\\.${slash}shared\\b|${slash}work${slash}shared`),
  },
  {
    what: 'a scratch folder of its making',
    pattern: new RegExp(`${slash}tmp${slash}(holdfast|lab)${slash}`),
  },
]

/** Committed text says nothing of the machine it was written on. */
export function forbiddenWords(workspace: Workspace): readonly Finding[] {
  return workspace.files.flatMap(({ path, text }) =>
    (text ?? '')
      .split('\n')
      .flatMap((line, index) =>
        forbidden
          .filter(({ pattern }) => pattern.test(line))
          .map(({ what }) => ({ rule: 'forbidden-words', path, line: index + 1, message: `names ${what}` })),
      ),
  )
}
