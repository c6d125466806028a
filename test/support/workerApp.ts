/**
 * The application of workers that tests start, as a user would build one. It says on stdout what happens:
 * `started <job> <attempt>` when a handler begins, `ended` or `interrupted` when it does.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Attempt, Job } from "lanekeeper"

type Told = Pick<Attempt.Attempt, "attempt" | "id">

const say = (word: string, { attempt, id }: Told) =>
  Effect.sync(() => process.stdout.write(`${word} ${id} ${attempt}\n`))

const told = (attempt: Told, effect: Effect.Effect<void>) =>
  say("started", attempt).pipe(
    Effect.andThen(effect),
    Effect.andThen(say("ended", attempt)),
    Effect.onInterrupt(() => say("interrupted", attempt))
  )

const letGo = Deferred.makeUnsafe<void>()
process.on("SIGUSR2", () => Deferred.doneUnsafe(letGo, Effect.void))

const Noop = Job.make("noop", { payload: {} })
/** Goes on until its process gets SIGUSR2; in a process that does not hold, for a moment. */
const Held = Job.make("held", { payload: {} })
const Sleep = Job.make("sleep", { payload: { millis: Schema.Int } })
/** Writes and completes its job in one transaction, and holds a connection for as long as `held` goes on. */
const Transfer = Job.make("transfer", { payload: {} })
/** Takes its process with it. */
const Poison = Job.make("poison", { payload: {} })

const goesOn = process.env["HOLDS"] === undefined ? Effect.void : Deferred.await(letGo)

const transfer = (attempt: Attempt.Attempt<void>) =>
  Effect.flatMap(PgClient.PgClient, (sql) =>
    sql.withTransaction(
      Effect.gen(function* () {
        yield* sql`INSERT INTO transfer (job, attempt) VALUES (${attempt.id}, ${attempt.attempt})`
        yield* say("started", attempt)
        yield* goesOn
        yield* attempt.complete()
      })
    )
  )

/** LANEKEEPER_QUEUES says otherwise. */
export const queues = { default: {} }

export const handlers = Layer.mergeAll(
  Noop.handle((_, attempt) => told(attempt, Effect.void)),
  Held.handle((_, attempt) => told(attempt, goesOn)),
  Sleep.handle(({ millis }, attempt) => told(attempt, Effect.sleep(millis))),
  Transfer.handle((_, attempt) => transfer(attempt)),
  Poison.handle((_, attempt) =>
    Effect.andThen(
      say("started", attempt),
      Effect.sync(() => process.kill(process.pid, "SIGKILL"))
    )
  )
)
