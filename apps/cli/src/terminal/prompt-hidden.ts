import { HoldfastError } from '@holdfast/contract'
import type { Cli } from '../cli.ts'

const enter = new Set(['\r', '\n'])
const backspace = new Set(['\b', '\x7f'])
const interrupt = '\x03'
const endOfInput = '\x04'
const eraseLine = '\x15'

/** Asks for a line on the terminal without showing what is typed. Ctrl-C and Ctrl-D give up (Cancelled). */
export async function promptHidden(cli: Cli, question: string): Promise<string> {
  const { input, screen } = cli
  screen.ask(question)
  input.setRawMode?.(true)
  input.setEncoding('utf8')
  input.resume()
  try {
    return await new Promise((resolve, reject) => {
      let typed: string[] = []
      const onData = (text: string): void => {
        for (const key of text) {
          if (enter.has(key)) return finish(() => resolve(typed.join('')))
          if (key === interrupt || key === endOfInput) return finish(() => reject(givenUp()))
          if (key === eraseLine) typed = []
          else if (backspace.has(key)) typed.pop()
          else typed.push(key)
        }
      }
      const finish = (settle: () => void): void => {
        input.off('data', onData)
        settle()
      }
      input.on('data', onData)
    })
  } finally {
    input.setRawMode?.(false)
    input.pause()
    screen.warn('')
  }
}

function givenUp(): HoldfastError {
  return new HoldfastError('Cancelled', 'no password was entered')
}
