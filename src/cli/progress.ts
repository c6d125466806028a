/** Says how far something long has come: one line of the terminal that is written over, and nothing elsewhere. */
import * as Effect from "effect/Effect"

let last = 0

/** An empty text clears the line. */
export const progress = (text: string) =>
  Effect.sync(() => {
    if (process.stderr.isTTY !== true) return
    const now = performance.now()
    if (text !== "" && now - last < 100) return // a person reads no faster
    last = now
    process.stderr.write(`\r\u001b[2K${text}`)
  })
