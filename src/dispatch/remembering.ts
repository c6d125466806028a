/** What an attempt knows of the ones before it, and leaves for the ones after it. */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { type Attempt, AttemptLost } from "../Attempt.ts"
import type { LogLine, Note, NoteName, Progress } from "../domain/Note.ts"
import type { Claimed } from "../store/Store.ts"

/** How notes are kept. */
export interface Memory {
  readonly recall: Effect.Effect<ReadonlyArray<Note>, SqlError>
  /** At once, in the transaction that is open. `false`: it is there already, or the attempt is over. */
  readonly remember: (name: NoteName, value: unknown) => Effect.Effect<boolean, SqlError>
  /** Before long. */
  readonly note: (name: NoteName, value: unknown) => void
}

/** Two steps of one name in one attempt: the second would be given the result of the first. */
export class StepTwice extends Schema.TaggedError<StepTwice>()("StepTwice", { step: Schema.String }) {
  override get message() {
    return `The step "${this.step}" has been run in this attempt: give each step a name of its own, such as "${this.step}-2"`
  }
}

/** The stored result is not what the step's Schema says. */
export class StepUnreadable extends Schema.TaggedError<StepUnreadable>()("StepUnreadable", {
  step: Schema.String,
  cause: Schema.Defect()
}) {
  override get message() {
    return `The result of the step "${this.step}" was stored in another shape: give the changed step another name`
  }
}

const longest = { message: 1_024, value: 65_536 } // characters: what is looked at often is small

export type Remembering = Pick<Attempt, "step" | "progress" | "checkpoint" | "checkpointed">

export const remembering = ({ attempt, id }: Claimed, memory: Memory): Remembering => {
  let known: ReadonlyMap<NoteName, Note> | undefined
  const recall = Effect.suspend(() =>
    known !== undefined
      ? Effect.succeed(known)
      : Effect.map(memory.recall, (notes) => (known = new Map(notes.map((note) => [note.name, note]))))
  )
  const used = new Set<string>()

  const stored = Effect.fnUntraced(function* (step: string) {
    if (used.has(step)) known = undefined // a transaction may have undone it
    const note = (yield* recall).get(`step:${step}`)
    if (note !== undefined && used.has(step)) return yield* Effect.die(new StepTwice({ step }))
    used.add(step)
    return note
  })

  const once = Effect.fnUntraced(function* <A, E, R>(
    step: string,
    result: Schema.Codec<A, unknown>,
    effect: Effect.Effect<A, E, R>
  ) {
    const codec = Schema.toCodecJson(result)
    const note = yield* stored(step)
    if (note !== undefined) {
      return yield* Schema.decodeUnknownEffect(codec)(note.value).pipe(
        Effect.catch((cause) => Effect.die(new StepUnreadable({ step, cause })))
      )
    }
    const value = yield* effect
    const kept = yield* memory.remember(`step:${step}`, yield* Effect.orDie(Schema.encodeEffect(codec)(value)))
    if (!kept) return yield* new AttemptLost({ id, attempt })
    return value
  })

  const note = (name: NoteName, value: unknown) =>
    Effect.suspend(() => {
      const length = JSON.stringify(value)?.length ?? 0
      if (length <= longest.value) return Effect.sync(() => memory.note(name, value))
      return Effect.die(
        new RangeError(
          `A ${name} has at most ${longest.value} characters of JSON, and this has ${length}: note where things are`
        )
      )
    })

  return {
    step: ((step: string, ...rest: ReadonlyArray<unknown>) =>
      rest.length === 1
        ? once(step, Schema.Void, rest[0] as Effect.Effect<void>)
        : once(step, rest[0] as Schema.Codec<unknown>, rest[1] as Effect.Effect<unknown>)) as Attempt["step"],
    progress: (percent, message) => {
      const progress: Progress = { percent: Math.min(100, Math.max(0, Number.isFinite(percent) ? percent : 0)) }
      return note(
        "progress",
        message === undefined ? progress : { ...progress, message: message.slice(0, longest.message) }
      )
    },
    checkpoint: (value) => note("checkpoint", value),
    checkpointed: (schema) =>
      Effect.flatMap(recall, (notes) => {
        const last = notes.get("checkpoint")
        if (last === undefined) return Effect.succeedNone
        return Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(last.value).pipe(
          Effect.asSome,
          Effect.catch(() =>
            Effect.as(Effect.logWarning("The checkpoint was left in another shape and is not used"), Option.none())
          )
        )
      })
  }
}

/** Keeps the last lines an attempt logs. */
export const keepingLogs = (lines: number, attempt: number, memory: Memory) => {
  const kept: Array<LogLine> = []
  const logger = Logger.make<unknown, void>(({ date, logLevel, message }) => {
    const text = (Array.isArray(message) ? message : [message])
      .map((part) => (typeof part === "string" ? part : JSON.stringify(part)))
      .join(" ")
    kept.push({ at: date.toISOString(), level: logLevel, message: text.slice(0, longest.message) })
    if (kept.length > lines) kept.shift()
    memory.note(`log:${attempt}`, [...kept])
  })
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.updateService(effect, Logger.CurrentLoggers, (loggers) => new Set([...loggers, logger]))
}
