/** Notes what is sent through a client, and asks the server how dear it takes each of them for. */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** Texts with the parameters they came with last. */
export class Statements extends Context.Service<Statements, Map<string, ReadonlyArray<unknown>>>()(
  "lanekeeper/test/Statements"
) {
  static readonly layer = Layer.sync(this, () => new Map())
}

/** The client of the context, noting. */
export const layerNoting = Layer.effect(
  PgClient,
  Effect.gen(function* () {
    const statements = yield* Statements
    const client = yield* PgClient
    const plain = client.withoutTransforms()
    const noting: PgClient = new Proxy(plain, {
      get: (target, name) => {
        if (name === "withoutTransforms") return () => noting
        if (name !== "unsafe") return Reflect.get(target, name)
        return (text: string, parameters: ReadonlyArray<unknown> = []) => {
          statements.set(text, parameters)
          return target.unsafe(text, parameters)
        }
      }
    })
    return noting
  })
)

interface Explained {
  readonly "QUERY PLAN": ReadonlyArray<{ readonly Plan: { readonly "Total Cost": number } }>
}

/** What each would cost, planned for its parameters and planned for any. */
export const estimates = Effect.gen(function* () {
  const sql = yield* PgClient
  const noted = [...(yield* Statements)].filter(([text]) => /^[\s(]*(SELECT|WITH|INSERT|UPDATE|DELETE)\b/.test(text))
  const costOf = ([row]: ReadonlyArray<Explained>) => row!["QUERY PLAN"][0]!.Plan["Total Cost"]
  return yield* Effect.forEach(
    noted,
    Effect.fnUntraced(function* ([text, parameters]) {
      const own = yield* sql.unsafe<Explained>(`EXPLAIN (FORMAT JSON) ${text}`, parameters)
      yield* sql`SET LOCAL plan_cache_mode = force_generic_plan`
      yield* sql.unsafe(`PREPARE noted AS ${text}`).unprepared
      const nulls = parameters.length === 0 ? "" : `(${parameters.map(() => "NULL").join(", ")})`
      const any = yield* sql.unsafe<Explained>(`EXPLAIN (FORMAT JSON) EXECUTE noted${nulls}`).unprepared
      yield* sql`DEALLOCATE noted`
      return { text, cost: Math.max(costOf(own), costOf(any)) }
    }, sql.withTransaction)
  )
})
