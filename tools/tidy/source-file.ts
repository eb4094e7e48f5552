import { type CallExpression, type Node, parseSync, Visitor, type VisitorObject } from 'oxc-parser'

export interface ImportEdge {
  readonly specifier: string
  readonly line: number
  /** Erased at run time: `import type`, or only `type` names between the braces. */
  readonly typeOnly: boolean
}

export interface FunctionSpan {
  readonly name: string
  readonly line: number
  readonly lines: number
}

/** Something a pure file must not contain, in words a person can act on. */
export interface Impurity {
  readonly what: string
  readonly line: number
}

export interface ProcessUse {
  readonly member: string
  readonly line: number
}

/** What the rules need to know about one source file. */
export interface SourceFile {
  readonly path: string
  readonly text: string
  readonly imports: readonly ImportEdge[]
  /** String literals that look like relative module paths: workers and modules loaded by URL. */
  readonly mentions: readonly string[]
  /** What holds tests is a chapter, not a function, and is left out. */
  readonly functions: readonly FunctionSpan[]
  readonly impurities: readonly Impurity[]
  readonly processUses: readonly ProcessUse[]
  readonly syntaxErrors: readonly string[]
}

/** Parses TypeScript or JavaScript into the facts above. Never throws: syntax errors are facts too. */
export function parseSourceFile(path: string, text: string): SourceFile {
  const parsed = parseSync(path, text)
  const lineOf = lineCounter(text)
  const facts = new Facts(lineOf)
  new Visitor(facts.visitor()).visit(parsed.program)
  return {
    path,
    text,
    imports: facts.imports,
    mentions: facts.mentions,
    functions: facts.functionsWithoutTests(),
    impurities: facts.impurities,
    processUses: facts.processUses,
    syntaxErrors: parsed.errors.map((error) => error.message),
  }
}

function lineCounter(text: string): (offset: number) => number {
  const starts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return (offset) => {
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((starts[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return low + 1
  }
}

/** Globals whose value depends on when or where the program runs. */
const worldlyGlobals = new Set([
  'process',
  'performance',
  'fetch',
  'setTimeout',
  'setInterval',
  'setImmediate',
])
const worldlyMembers = new Set(['Date.now', 'Math.random', 'crypto.randomUUID', 'crypto.getRandomValues'])

/** Owns the lists while one file is visited. */
class Facts {
  readonly imports: ImportEdge[] = []
  readonly mentions: string[] = []
  readonly impurities: Impurity[] = []
  readonly processUses: ProcessUse[] = []
  private readonly functions: {
    readonly span: FunctionSpan
    readonly start: number
    readonly end: number
  }[] = []
  private readonly names = new Map<number, string>()
  private readonly testCalls: number[] = []
  private readonly lineOf: (offset: number) => number

  constructor(lineOf: (offset: number) => number) {
    this.lineOf = lineOf
  }

  visitor(): VisitorObject {
    return { ...this.importVisitor(), ...this.functionVisitor(), ...this.worldVisitor() }
  }

  functionsWithoutTests(): readonly FunctionSpan[] {
    return this.functions
      .filter(({ start, end }) => !this.testCalls.some((call) => start < call && call < end))
      .map(({ span }) => span)
  }

  private importVisitor(): VisitorObject {
    return {
      ImportDeclaration: (node) => {
        const named = node.specifiers
        const onlyTypes =
          named.length > 0 &&
          named.every((each) => each.type === 'ImportSpecifier' && each.importKind === 'type')
        this.addImport(node.source.value, node.start, node.importKind === 'type' || onlyTypes)
        if (node.source.value === 'node:process') {
          for (const each of named)
            this.addProcessUse(each.type === 'ImportSpecifier' ? each.local.name : 'env', each)
        }
      },
      ExportNamedDeclaration: (node) => {
        if (node.source) this.addImport(node.source.value, node.start, node.exportKind === 'type')
      },
      ExportAllDeclaration: (node) => {
        this.addImport(node.source.value, node.start, node.exportKind === 'type')
      },
      ImportExpression: (node) => {
        if (node.source.type === 'Literal' && typeof node.source.value === 'string') {
          this.addImport(node.source.value, node.start, false)
        }
      },
      TSImportType: (node) => {
        this.addImport(node.source.value, node.start, true)
      },
      Literal: (node) => {
        if (typeof node.value === 'string' && /^\.\.?\/.*\.[jt]s$/.test(node.value))
          this.mentions.push(node.value)
      },
    }
  }

  private functionVisitor(): VisitorObject {
    return {
      VariableDeclarator: (node) => {
        if (node.init && node.id.type === 'Identifier') this.names.set(node.init.start, node.id.name)
      },
      Property: (node) => {
        if (node.key.type === 'Identifier') this.names.set(node.value.start, node.key.name)
      },
      MethodDefinition: (node) => {
        if (node.key.type === 'Identifier') this.names.set(node.value.start, node.key.name)
      },
      FunctionDeclaration: (node) => this.addFunction(node, node.id?.name, node.async),
      FunctionExpression: (node) => this.addFunction(node, node.id?.name, node.async),
      ArrowFunctionExpression: (node) => this.addFunction(node, undefined, node.async),
    }
  }

  private worldVisitor(): VisitorObject {
    return {
      CallExpression: (node) => {
        if (isTestCall(node)) this.testCalls.push(node.start)
        const worker = workerNameOf(node)
        if (worker !== undefined) this.mentions.push(`./${worker}.ts`)
      },
      AwaitExpression: (node) => this.addImpurity('await', node),
      NewExpression: (node) => {
        if (node.callee.type === 'Identifier' && node.callee.name === 'Date' && node.arguments.length === 0) {
          this.addImpurity('new Date()', node)
        }
      },
      MemberExpression: (node) => {
        if (node.object.type !== 'Identifier') return
        const member = node.property.type === 'Identifier' ? node.property.name : 'computed'
        const dotted = `${node.object.name}.${member}`
        if (worldlyMembers.has(dotted)) this.addImpurity(dotted, node)
        if (node.object.name === 'process') this.addProcessUse(member, node)
      },
      Identifier: (node) => {
        if (worldlyGlobals.has(node.name)) this.addImpurity(node.name, node)
      },
    }
  }

  private addImport(specifier: string, offset: number, typeOnly: boolean): void {
    this.imports.push({ specifier, line: this.lineOf(offset), typeOnly })
  }

  private addFunction(
    node: { start: number; end: number },
    ownName: string | undefined,
    isAsync: boolean,
  ): void {
    if (isAsync) this.addImpurity('async function', node)
    const line = this.lineOf(node.start)
    const name = ownName ?? this.names.get(node.start) ?? `anonymous@${line}`
    const span = { name, line, lines: this.lineOf(node.end - 1) - line + 1 }
    this.functions.push({ span, start: node.start, end: node.end })
  }

  private addImpurity(what: string, node: { start: number }): void {
    this.impurities.push({ what, line: this.lineOf(node.start) })
  }

  private addProcessUse(member: string, node: { start: number }): void {
    this.processUses.push({ member, line: this.lineOf(node.start) })
  }
}

/** `test(...)`, `it(...)`, `describe.skipIf(x)(...)`, `test.each(rows)(...)`. */
function isTestCall(node: CallExpression): boolean {
  let callee: Node = node.callee
  while (callee.type === 'CallExpression' || callee.type === 'MemberExpression') {
    callee = callee.type === 'CallExpression' ? callee.callee : callee.object
  }
  return callee.type === 'Identifier' && ['describe', 'it', 'test'].includes(callee.name)
}

/** `workerEntry(import.meta.url, 'x-worker')` starts the module of that name beside the caller. */
function workerNameOf(node: CallExpression): string | undefined {
  if (node.callee.type !== 'Identifier' || node.callee.name !== 'workerEntry') return undefined
  const name = node.arguments[1]
  return name?.type === 'Literal' && typeof name.value === 'string' ? name.value : undefined
}
