/**
 * The little of WebAssembly's JavaScript API that the archive uses. Node's own declarations lack it, and the
 * DOM library that has it would bring a browser's globals into code that must not see them.
 */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: NodeJS.ArrayBufferView | ArrayBuffer)
  }

  class Memory {
    constructor(descriptor: {
      readonly initial: number
      readonly maximum?: number
      readonly shared?: boolean
    })
    readonly buffer: ArrayBuffer
  }

  class Instance {
    constructor(module: Module, imports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>)
    readonly exports: Readonly<Record<string, unknown>>
  }
}
