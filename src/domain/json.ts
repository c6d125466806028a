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
export const storable = (value: unknown): unknown => {
  const json = JSON.stringify(value ?? null) ?? "null"
  if (!unstorable.test(json)) return JSON.parse(json)
  return JSON.parse(json, (_, part) => {
    if (typeof part === "string") return storableText(part)
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part
    return Object.fromEntries(Object.entries(part).map(([name, field]) => [storableText(name), field]))
  })
}
