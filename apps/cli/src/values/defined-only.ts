/** `value` without its undefined members, for options whose absence means a default. */
export function definedOnly<T extends object>(
  value: T,
): { [Key in keyof T as undefined extends T[Key] ? Key : never]?: Exclude<T[Key], undefined> } & {
  [Key in keyof T as undefined extends T[Key] ? never : Key]: T[Key]
} {
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  return Object.fromEntries(entries) as ReturnType<typeof definedOnly<T>>
}
