/** Runs a script on two stores side by side, and compares what they answer and what they hold. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { broken, difference, ignorance, type Knowledge, type Names, perform, type Subject, survey } from "./modelRun.ts"
import { print, type Script } from "./modelScript.ts"

export class Disagreement extends Schema.TaggedError<Disagreement>()("Disagreement", {
  line: Schema.String,
  what: Schema.String,
  script: Schema.String
}) {
  override get message() {
    return `${this.line}\n  ${this.what}\nThis replays it:\n${this.script}`
  }
}

/** A store with what its caller knows of it, and how its jobs are called. */
export interface Side {
  readonly subject: Subject
  readonly names: Names
  readonly known: Knowledge
}

export const side = (subject: Subject): Side => ({ subject, names: new Map(), known: ignorance })

/**
 * Fails with where the stores first differ: what the model says, and then the other. Compares answers after every line,
 * and contents too unless told to leave them to the end.
 */
export const agree = Effect.fnUntraced(function* (
  script: Script,
  model: Side,
  store: Side,
  contents: "after every line" | "at the end" = "after every line"
): Effect.fn.Return<readonly [model: Side, store: Side], Disagreement | SqlError> {
  let sides: readonly [Side, Side] = [model, store]
  for (const [index, command] of script.entries()) {
    const differ = (what: string) =>
      new Disagreement({
        line: `line ${index}, ${JSON.stringify(command)}`,
        what,
        script: print(script.slice(0, index + 1))
      })
    const answers = yield* Effect.forEach(sides, ({ known, subject }) =>
      perform(subject, known, String(index), command)
    ).pipe(Effect.catchCause((cause) => Effect.fail(differ(String(cause)))))
    for (const [at, { introduce }] of answers.entries()) introduce(sides[at]!.names)
    sides = [
      { ...sides[0], known: answers[0]!.learned },
      { ...sides[1], known: answers[1]!.learned }
    ]
    const found = difference(answers[0]!.tell(sides[0].names), answers[1]!.tell(sides[1].names), "answer")
    if (found !== undefined) return yield* differ(found)
    if (contents === "at the end" && index < script.length - 1) continue

    const [expected, actual] = [yield* survey(model.subject), yield* survey(store.subject)]
    const held = difference(expected.tell(sides[0].names), actual.tell(sides[1].names), "contents")
    if (held !== undefined) return yield* differ(held)
    const faults = broken(actual.views)
    if (faults.length > 0) return yield* differ(faults.join("; "))
  }
  return sides
})
