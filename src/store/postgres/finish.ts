import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Acceptance, Ending, EndState } from "../../domain/Attempt.ts"
import { eventOf, isTold, toldOf } from "../told.ts"
import { numberOf, slotOf } from "../../domain/Job.ts"
import { storableText } from "../../domain/json.ts"
import { millis } from "../../domain/millis.ts"
import type { AttemptEnd, Store, WorkerId } from "../Store.ts"
import type { OpenLeases } from "./OpenLeases.ts"
import { int2s, int4s, int8s, jsons, texts } from "./parameters.ts"

const longest = 2 ** 31 - 1 // milliseconds that are stored of how long an attempt ran: 24 days

/** An ending as the statement takes it: the state it is recorded as, where the job goes, and what goes along. */
interface Said {
  readonly state: EndState
  readonly next: "completed" | "cancelled" | "dead" | "ready" | "timed" | "waiting"
  readonly in?: Duration.Duration
  readonly reason?: string
  readonly error?: unknown
  readonly output?: unknown
  readonly token?: string
  readonly policy?: string
}

const say = (ending: Ending): Said => {
  switch (ending._tag) {
    case "Completed":
      return { state: "completed", next: "completed", output: ending.output }
    case "Failed":
      return { state: "failed", ...later(ending.retryIn), error: ending.error }
    case "Snoozed":
      return { state: "snoozed", ...later(ending.for) }
    case "Parked":
      return {
        state: "parked",
        next: "waiting",
        in: ending.expiresIn,
        token: ending.token,
        policy: ending.onExpiry
      }
    case "Released":
      return { state: "released", next: "ready" }
    case "Died":
      return { state: "died", next: "dead", reason: ending.reason, error: ending.error }
    case "Cancelled":
      return { state: "cancelled", next: "cancelled", reason: ending.reason }
  }
}

const later = (wait: Duration.Duration) =>
  Duration.toMillis(wait) <= 0 ? ({ next: "ready" } as const) : ({ next: "timed", in: wait } as const)

/** A column that most ends leave empty: what is shorter than the others is filled up with NULL. */
const some = <A>(said: ReadonlyArray<Said>, valueOf: (one: Said) => A | null): ReadonlyArray<A | null> => {
  const column = said.map(valueOf)
  return column.every((value) => value === null) ? [] : column
}

export const finishing = (sql: PgClient, schema: string, open: OpenLeases): Pick<Store["Service"], "finish"> => {
  const statement = `SELECT ended, ended_attempts FROM ${schema}.end_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

  const tellStatement = `
    INSERT INTO ${schema}.outbox (type, job, attempt, slot, queue, kind, details)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::smallint[], $5::text[], $6::text[], $7::jsonb[])`

  /** Most ends are told to nobody, and pay nothing. Those that are go with their events, or not at all. */
  const finish = (worker: WorkerId, ends: ReadonlyArray<AttemptEnd>) =>
    Effect.flatMap(Effect.serviceOption(sql.transactionService), (joined) =>
      ends.some(isTold)
        ? sql.withTransaction(endAndTell(worker, ends, Option.isSome(joined)))
        : end(worker, ends, Option.isSome(joined))
    )

  const endAndTell = Effect.fnUntraced(function* (worker: WorkerId, ends: ReadonlyArray<AttemptEnd>, joined: boolean) {
    const answers = yield* end(worker, ends, joined)
    const told = ends.filter((one, index) => answers[index] === "accepted" && isTold(one))
    if (told.length === 0) return answers
    yield* sql.unsafe(tellStatement, [
      texts(told.map(({ ending }) => eventOf(ending))),
      int8s(told.map(({ id }) => numberOf(id))),
      int4s(told.map(({ attempt }) => attempt)),
      int2s(told.map(({ id }) => slotOf(id))),
      texts(told.map(({ tell }) => tell!.queue)),
      texts(told.map(({ tell }) => tell!.kind)),
      jsons(told.map(toldOf))
    ])
    return answers
  })

  const end = Effect.fnUntraced(function* (worker: WorkerId, ends: ReadonlyArray<AttemptEnd>, joined: boolean) {
    if (ends.length === 0) return []
    const said = ends.map(({ ending }) => say(ending))
    const numbers = ends.map(({ id }) => numberOf(id))
    const plain = said.every(({ next }) => next === "completed")
    const rows = yield* sql.unsafe<{
      readonly ended: ReadonlyArray<bigint> | null
      readonly ended_attempts: ReadonlyArray<number>
    }>(statement, [
      worker,
      int8s(ends.map(({ lease }) => lease)),
      int8s(numbers),
      int4s(ends.map(({ attempt }) => attempt)),
      int4s(ends.map(({ ran }) => Math.min(Math.round(Duration.toMillis(ran)), longest))),
      // Where all complete, as nearly all do, their states are not read, and it is enough to say so once.
      texts(plain ? [] : said.map(({ state }) => state)),
      texts(plain ? ["completed"] : said.map(({ next }) => next)),
      int8s(some(said, (one) => (one.in === undefined ? null : millis(one.in)))),
      texts(some(said, ({ reason }) => (reason === undefined ? null : storableText(reason)))),
      jsons(some(said, ({ error }) => error ?? null)),
      jsons(some(said, ({ output }) => output ?? null)),
      texts(some(said, ({ token }) => token ?? null)),
      texts(some(said, ({ policy }) => policy ?? null)),
      joined ? null : int8s(open.over(ends))
    ])
    if (rows.length === 1 && rows[0]!.ended?.length === ends.length) return ends.map((): Acceptance => "accepted")
    // One job at most once: two attempts of it cannot both have been running.
    const ended = new Map(
      rows.flatMap((row) => row.ended?.map((job, at) => [job, row.ended_attempts[at]] as const) ?? [])
    )
    const answers = ends.map(({ attempt }, index): Acceptance => {
      const accepted = ended.get(numbers[index]!) === attempt
      if (accepted) ended.delete(numbers[index]!)
      return accepted ? "accepted" : "refused"
    })
    if (!answers.includes("refused")) return answers
    return yield* tellRepeated(worker, ends, said, answers)
  })

  /** Rare: tells a worker's own outcome, sent again because the answer was lost, from one that came too late. */
  const tellRepeated = Effect.fnUntraced(function* (
    worker: WorkerId,
    ends: ReadonlyArray<AttemptEnd>,
    said: ReadonlyArray<Said>,
    answers: ReadonlyArray<Acceptance>
  ) {
    const rows = yield* sql.unsafe<{ readonly place: number }>(
      `SELECT said.place::int FROM unnest($1::bigint[], $2::int[], $3::text[]) WITH ORDINALITY AS said (job, attempt, state, place)
       JOIN ${schema}.attempt_end AS done ON done.job = said.job AND done.attempt = said.attempt AND done.state = said.state
       WHERE done.worker = $4`,
      [
        int8s(ends.map(({ id }) => numberOf(id))),
        int4s(ends.map(({ attempt }) => attempt)),
        texts(said.map(({ state }) => state)),
        worker
      ]
    )
    const repeated = new Set(rows.map((row) => row.place - 1))
    return answers.map((answer, index) => (answer === "refused" && repeated.has(index) ? "repeated" : answer))
  })

  return { finish }
}
