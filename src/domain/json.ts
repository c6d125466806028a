/**
 * Says what PostgreSQL can store of a text. It has no NUL and no half of a surrogate pair, and one such character would
 * make it refuse the whole batch it comes in. What producers send is refused with its path; what an attempt leaves
 * behind (its output, its error) is kept, with U+FFFD in the place of what cannot be.
 */
const unstorable = /\\u(?:0000|d[89a-f])/

export const isStorableText = (text: string): boolean => !text.includes("\u0000") && text.isWellFormed()

export const storableText = (text: string): string =>
  isStorableText(text) ? text : text.replaceAll("\u0000", "\ufffd").toWellFormed()

/** The value as JSON gives it back. `undefined` is null. */
export const storable = (value: unknown): unknown => JSON.parse(storableJson(value))

export const storableJson = (value: unknown): string => {
  const json = JSON.stringify(value ?? null) ?? "null"
  return unstorable.test(json) ? JSON.stringify(JSON.parse(json, mended)) : json
}

const mended = (_: string, part: unknown): unknown => {
  if (typeof part === "string") return storableText(part)
  if (typeof part !== "object" || part === null || Array.isArray(part)) return part
  return Object.fromEntries(Object.entries(part).map(([name, field]) => [storableText(name), field]))
}

export interface Fault {
  readonly path: ReadonlyArray<string | number>
  readonly reason: string
}

/** The first place in a JSON value that cannot be stored, or lies deeper than allowed. */
export const faultIn = (value: unknown, maxDepth: number, depth = 0): Fault | undefined => {
  if (typeof value === "string") {
    return isStorableText(value) ? undefined : { path: [], reason: "has a NUL character or half of a surrogate pair" }
  }
  if (typeof value !== "object" || value === null) return undefined
  if (depth >= maxDepth) return { path: [], reason: `is nested more than ${maxDepth} deep` }
  const parts = Array.isArray(value) ? value.entries() : Object.entries(value)
  for (const [name, part] of parts) {
    const fault =
      typeof name === "string" && !isStorableText(name)
        ? { path: [], reason: "is a name that cannot be stored" }
        : faultIn(part, maxDepth, depth + 1)
    if (fault !== undefined) return { ...fault, path: [name, ...fault.path] }
  }
  return undefined
}
