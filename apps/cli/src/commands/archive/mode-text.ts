const kinds = 'dalTLDpSugct?'
const permissions = 'rwxrwxrwx'

/** A Go file mode the way Go prints it (`drwxr-xr-x`, `Lrwxrwxrwx`, `ugtrwxr-xr-x`), as restic's ls does. Pure. */
export function formatMode(mode: number): string {
  let text = ''
  for (const [index, letter] of [...kinds].entries()) {
    if (((mode >>> (31 - index)) & 1) === 1) text += letter
  }
  if (text === '') text = '-'
  for (const [index, letter] of [...permissions].entries()) {
    text += ((mode >>> (8 - index)) & 1) === 1 ? letter : '-'
  }
  return text
}
