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
  const facts: Facts = {
    imports: [],
    mentions: [],
    impurities: [],
    processUses: [],
    functions: [],
    names: new Map(),
    testCalls: [],
    lineOf: lineCounter(text),
  }
  const visitor = new Visitor({ ...importVisitor(facts), ...functionVisitor(facts), ...worldVisitor(facts) })
  visitor.visit(parsed.program)
  return {
    path,
    text,
    imports: facts.imports,
    mentions: facts.mentions,
    functions: functionsWithoutTests(facts),
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

/** What is gathered while one file is visited. */
interface Facts {
  readonly imports: ImportEdge[]
  readonly mentions: string[]
  readonly impurities: Impurity[]
  readonly processUses: ProcessUse[]
  readonly functions: { readonly span: FunctionSpan; readonly start: number; readonly end: number }[]
  /** Names that functions get from where they stand, by the offset of the function. */
  readonly names: Map<number, string>
  readonly testCalls: number[]
  lineOf(offset: number): number
}

function importVisitor(facts: Facts): VisitorObject {
  const add = (specifier: string, offset: number, typeOnly: boolean): void => {
    facts.imports.push({ specifier, line: facts.lineOf(offset), typeOnly })
  }
  return {
    ImportDeclaration: (node) => {
      const named = node.specifiers
      const onlyTypes =
        named.length > 0 &&
        named.every((each) => each.type === 'ImportSpecifier' && each.importKind === 'type')
      add(node.source.value, node.start, node.importKind === 'type' || onlyTypes)
      if (node.source.value !== 'node:process') return
      for (const each of named) {
        // `import process from 'node:process'` may do anything with it: as bad as a computed member.
        const member = each.type === 'ImportSpecifier' ? each.local.name : 'computed'
        facts.processUses.push({ member, line: facts.lineOf(each.start) })
      }
    },
    ExportNamedDeclaration: (node) => {
      if (node.source) add(node.source.value, node.start, node.exportKind === 'type')
    },
    ExportAllDeclaration: (node) => add(node.source.value, node.start, node.exportKind === 'type'),
    ImportExpression: (node) => {
      if (node.source.type !== 'Literal' || typeof node.source.value !== 'string') return
      add(node.source.value, node.start, false)
    },
    TSImportType: (node) => add(node.source.value, node.start, true),
    Literal: (node) => {
      if (typeof node.value === 'string' && /^\.\.?\/.*\.[jt]s$/.test(node.value))
        facts.mentions.push(node.value)
    },
  }
}

function functionVisitor(facts: Facts): VisitorObject {
  const add = (node: FunctionLike, ownName?: string): void => {
    const line = facts.lineOf(node.start)
    if (node.async) facts.impurities.push({ what: 'async function', line })
    const name = ownName ?? facts.names.get(node.start) ?? `anonymous@${line}`
    const span = { name, line, lines: facts.lineOf(node.end - 1) - line + 1 }
    facts.functions.push({ span, start: node.start, end: node.end })
  }
  return {
    VariableDeclarator: (node) => {
      if (node.init && node.id.type === 'Identifier') facts.names.set(node.init.start, node.id.name)
    },
    Property: (node) => {
      if (node.key.type === 'Identifier') facts.names.set(node.value.start, node.key.name)
    },
    MethodDefinition: (node) => {
      if (node.key.type === 'Identifier') facts.names.set(node.value.start, node.key.name)
    },
    FunctionDeclaration: (node) => add(node, node.id?.name),
    FunctionExpression: (node) => add(node, node.id?.name),
    ArrowFunctionExpression: (node) => add(node),
  }
}

function worldVisitor(facts: Facts): VisitorObject {
  const impure = (what: string, node: { readonly start: number }): void => {
    facts.impurities.push({ what, line: facts.lineOf(node.start) })
  }
  return {
    CallExpression: (node) => {
      if (isTestCall(node)) facts.testCalls.push(node.start)
      const worker = workerNameOf(node)
      if (worker !== undefined) facts.mentions.push(`./${worker}.ts`)
    },
    AwaitExpression: (node) => impure('await', node),
    NewExpression: (node) => {
      const callee = node.callee
      if (callee.type === 'Identifier' && callee.name === 'Date' && node.arguments.length === 0) {
        impure('new Date()', node)
      }
    },
    MemberExpression: (node) => {
      if (node.object.type !== 'Identifier') return
      const member = node.property.type === 'Identifier' && !node.computed ? node.property.name : 'computed'
      const dotted = `${node.object.name}.${member}`
      if (worldlyMembers.has(dotted)) impure(dotted, node)
      if (node.object.name === 'process') facts.processUses.push({ member, line: facts.lineOf(node.start) })
    },
    Identifier: (node) => {
      if (worldlyGlobals.has(node.name)) impure(node.name, node)
    },
  }
}

interface FunctionLike {
  readonly start: number
  readonly end: number
  readonly async: boolean
}

function functionsWithoutTests({ functions, testCalls }: Facts): readonly FunctionSpan[] {
  return functions
    .filter(({ start, end }) => !testCalls.some((call) => start < call && call < end))
    .map(({ span }) => span)
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
