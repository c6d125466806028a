/** Moves jobs for a command, one by one, and says what became of each, or of how many. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { Client } from "../Client.ts"
import type { JobId } from "../domain/Job.ts"
import type { InvalidTarget, KeyTaken, MoveError, MoveRefused } from "../Moves.ts"
import type { JobNotFound } from "../Result.ts"
import type { Moved, MovedMany } from "./shapes.ts"
import { progress } from "./progress.ts"
import { counted } from "../texts.ts"

/** Some jobs were not moved; the others were. */
export class NotAllMoved extends Schema.TaggedError<NotAllMoved>()("NotAllMoved", {
  errors: Schema.Array(Schema.String)
}) {
  override get message() {
    return this.errors.join("\n")
  }
}

/** The jobs somebody named. One that cannot be moved keeps none of the others back. */
export const moveEach = Effect.fnUntraced(function* (
  ids: ReadonlyArray<JobId>,
  json: boolean,
  move: (id: JobId) => Effect.Effect<string, InvalidTarget | KeyTaken | MoveError>
) {
  const results = yield* Effect.forEach([...new Set(ids)], (id) =>
    move(id).pipe(
      Effect.map((outcome) => ({ id, outcome, error: null })),
      Effect.catchTag(["JobNotFound", "MoveRefused", "KeyTaken"], (error: JobNotFound | MoveRefused | KeyTaken) =>
        Effect.succeed({ id, outcome: null, error: error.message })
      )
    )
  )
  const told: typeof Moved.Type = { results }
  const lines = results.flatMap(({ id, outcome }) => (outcome === null ? [] : [`${id} ${outcome}`]))
  if (json) yield* Console.log(JSON.stringify(told))
  else if (lines.length > 0) yield* Console.log(lines.join("\n"))
  const errors = results.flatMap(({ error }) => error ?? [])
  if (errors.length > 0) return yield* new NotAllMoved({ errors })
})

interface Counts {
  readonly moved: number
  /** Left among the dead, because another job has their unique key. */
  readonly keyTaken: number
}

interface Filter {
  readonly queue: Option.Option<string>
  readonly kind: Option.Option<string>
}

const page = 200 // a page is one statement of some milliseconds

/** Every dead job a filter lets through, the newest first. What others move meanwhile is theirs. */
export const moveDead = Effect.fnUntraced(function* (
  client: Client["Service"],
  { kind, queue }: Filter,
  move: (id: JobId) => Effect.Effect<void, KeyTaken | MoveError>
): Effect.fn.Return<Counts, SqlError> {
  let after: JobId | undefined
  let moved = 0
  let keyTaken = 0
  while (true) {
    const jobs = yield* client.list({ place: "dead", queue: Option.getOrUndefined(queue), after, limit: page })
    for (const job of jobs) {
      if (Option.isSome(kind) && job.kind !== kind.value) continue
      yield* move(job.id).pipe(
        Effect.map(() => void moved++),
        Effect.catchTag(["JobNotFound", "MoveRefused"], () => Effect.void),
        Effect.catchTag("KeyTaken", () => Effect.sync(() => void keyTaken++))
      )
      yield* progress(`${counted(moved, "job")} so far`)
    }
    after = jobs.at(-1)?.id
    if (jobs.length < page) break
  }
  yield* progress("")
  return { moved, keyTaken }
})

export const sayMany = (outcome: string, { keyTaken, moved }: Counts, json: boolean) => {
  const told: typeof MovedMany.Type = { outcome, jobs: moved, keyTaken }
  const left =
    keyTaken === 0 ? "" : `; ${counted(keyTaken, "job")} left, because another has its unique key and is not over`
  return Console.log(json ? JSON.stringify(told) : `${counted(moved, "job")} ${outcome}${left}`)
}
