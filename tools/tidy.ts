/** `npm run tidy`: the rules of this repository that no other tool knows. Each lives in `tools/tidy/`. */
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { archiveLayers } from './tidy/archive-layers.ts'
import { arrows } from './tidy/arrows.ts'
import { binaries } from './tidy/binaries.ts'
import { deadFiles } from './tidy/dead-files.ts'
import { documentLinks } from './tidy/document-links.ts'
import { fileNames } from './tidy/file-names.ts'
import { fileSize } from './tidy/file-size.ts'
import { formatFinding, type Rule } from './tidy/finding.ts'
import { forbiddenWords } from './tidy/forbidden-words.ts'
import { functionLength } from './tidy/function-length.ts'
import { importCycles } from './tidy/import-cycles.ts'
import { processAccess } from './tidy/process-access.ts'
import { projectReferences } from './tidy/project-references.ts'
import { purity } from './tidy/purity.ts'
import { readWorkspace } from './tidy/read-workspace.ts'
import { syntax } from './tidy/syntax.ts'
import { undeclaredImports } from './tidy/undeclared-imports.ts'

const rules: readonly Rule[] = [
  syntax,
  arrows,
  archiveLayers,
  undeclaredImports,
  projectReferences,
  importCycles,
  deadFiles,
  purity,
  processAccess,
  functionLength,
  fileSize,
  fileNames,
  binaries,
  forbiddenWords,
  documentLinks,
]

const workspace = readWorkspace(dirname(dirname(fileURLToPath(import.meta.url))))
const findings = rules.flatMap((rule) => rule(workspace))
for (const finding of findings) console.log(formatFinding(finding))
console.log(
  `tidy: ${workspace.sources.length} source files, ${rules.length} rules, ${findings.length} findings`,
)
if (findings.length > 0) process.exitCode = 1
