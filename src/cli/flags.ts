/** The flags and arguments that several commands take. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import { parseId, places } from "../domain/Job.ts"
import { duration, schema } from "../Settings.ts"

export const schemaFlag = Flag.String("schema").pipe(
  Flag.withDescription(`The PostgreSQL schema; else ${schema.variable}, else ${schema.fallback.shown}`),
  Flag.optional
)

export const jsonFlag = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))

export const yesFlag = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDescription("Do not ask"),
  Flag.withDefault(false)
)

export const queueFlag = Flag.String("queue").pipe(Flag.withDescription("Only of this queue"), Flag.optional)

export const kindFlag = Flag.String("kind").pipe(Flag.withDescription("Only of this kind"), Flag.optional)

export const placeFlag = Flag.Literals("place", places).pipe(
  Flag.withDescription("Only in this place; can be repeated"),
  Flag.atLeast(0)
)

/** A whole number with bounds and a default, which its description tells. */
export const countFlag = (name: string, meaning: string, most: number, fallback: number) =>
  Flag.Int(name).pipe(
    Flag.withDescription(`${meaning}; ${fallback} without it`),
    Flag.filter(
      (count) => count > 0 && count <= most,
      () => `a whole number from 1 to ${most}`
    ),
    Flag.withDefault(fallback)
  )

export const durationFlag = (name: string, meaning: string, example: string) =>
  Flag.String(name).pipe(
    Flag.withDescription(`${meaning}, such as "${example}"`),
    Flag.filterMap(
      (text) => Result.getSuccess(duration(text)),
      () => `a length of time, such as "${example}"`
    ),
    Flag.optional
  )

export const limitFlag = countFlag("limit", "How many at most", 1_000, 20)

/** What was expected, as the end of a sentence. */
const idRule = () => "the id of a job, such as 3-1742"

export const jobId = Argument.String("id").pipe(
  Argument.withDescription("The job, such as 3-1742"),
  Argument.filterMap(parseId, idRule)
)

export const jobIds = jobId.pipe(Argument.variadic())

export const someJobIds = jobId.pipe(Argument.atLeast(1))

export const afterFlag = Flag.String("after").pipe(
  Flag.withDescription("Only jobs enqueued before this one: the next page"),
  Flag.filterMap(parseId, idRule),
  Flag.optional
)

/** What a filter has to say, for a sentence. */
export const filterText = (flags: {
  readonly queue: Option.Option<string>
  readonly kind: Option.Option<string>
}): string =>
  [
    ...Option.toArray(Option.map(flags.kind, (kind) => `of kind ${kind}`)),
    ...Option.toArray(Option.map(flags.queue, (queue) => `in queue ${queue}`))
  ].join(" ")
