/**
 * Takes a batch apart that one bad row would fail for ever: its jobs move one at a time until the bad one comes, and
 * that one is set aside with the reason. The next batch is whole again.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { makeId } from "../../domain/Job.ts"
import type { Moved, Store } from "../Store.ts"
import { rootMessage, stateOf } from "./DatabaseError.ts"
import { isNothing, nothing, sum } from "./moved.ts"

/** Data that does not fit or is beyond a limit, a constraint, or a trigger that raises: not a database that is away, busy or another. */
export const isBadRow = (error: SqlError) => /^(22|23|54|P0)/.test(stateOf(error) ?? "")

/** Somebody keeps a row that is wanted, for longer than the connection waits. */
export const isBusy = (error: SqlError) => stateOf(error) === "55P03"

/** Why a job was set aside. */
export const unmovable = (error: SqlError) => `a lane could not move it: ${rootMessage(error)}`

export interface Pass {
  /** Moves the first `limit` jobs in turn. */
  readonly move: (limit: number) => Effect.Effect<Moved, SqlError>
  /** Locks the first job in turn and answers with its `job` and `slot`. */
  readonly first: string
}

export const takingApart = (sql: PgClient, setAside: Store["Service"]["setAside"]) => {
  const one = ({ first, move }: Pass) =>
    sql.withTransaction(
      Effect.gen(function* () {
        const look = sql.unsafe<{ readonly job: bigint; readonly slot: number }>(first)
        const [before] = yield* look
        if (before === undefined) return { moved: nothing, bad: false }
        return yield* sql.withTransaction(move(1)).pipe(
          Effect.map((moved) => ({ moved, bad: false })),
          Effect.catchIf(isBadRow, (error) =>
            Effect.gen(function* () {
              const [after] = yield* look
              if (after?.job !== before.job) return { moved: nothing, bad: true } // another came first: look again
              const { moved } = yield* setAside(makeId(Math.abs(before.slot), before.job), unmovable(error))
              return { moved: { ...nothing, dead: moved ? 1 : 0 }, bad: true }
            })
          )
        )
      })
    )

  return (pass: Pass, limit: number): Effect.Effect<Moved, SqlError> =>
    Effect.catchIf(pass.move(limit), isBadRow, () =>
      Effect.gen(function* () {
        let all = nothing
        for (let n = 0; n < limit; n++) {
          const { bad, moved } = yield* one(pass)
          all = sum(all, moved)
          if (bad || isNothing(moved)) break
        }
        return all
      })
    )
}
