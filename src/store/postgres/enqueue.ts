import type { PgClient } from "@effect/sql-pg/PgClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type JobId, makeId } from "../../domain/Job.ts"
import type { Store } from "../Store.ts"
import { int2s, int8s, jsons, texts, times } from "./parameters.ts"

const milliseconds = (duration: Duration.Duration | undefined) =>
  duration === undefined ? null : Math.ceil(Duration.toMillis(duration))

export const enqueueing = (sql: PgClient, schema: string): Pick<Store["Service"], "enqueue"> => {
  const statement = `SELECT * FROM ${schema}.enqueue_many($1, $2, $3, $4, $5, $6, $7, $8)`
  return {
    enqueue: Effect.fnUntraced(function* (jobs) {
      if (jobs.length === 0) return []
      const [row] = yield* sql.unsafe<{ ids: ReadonlyArray<bigint>; slots: ReadonlyArray<number> }>(statement, [
        texts(jobs.map((job) => job.kind)),
        texts(jobs.map((job) => job.queue)),
        int2s(jobs.map((job) => job.priority)),
        texts(jobs.map((job) => JSON.stringify(job.payload ?? null))),
        jsons(jobs.map((job) => job.details ?? null)),
        int8s(jobs.map((job) => milliseconds(job.deadline))),
        times(jobs.map((job) => (job.runAt === undefined ? null : DateTime.toDate(job.runAt)))),
        int8s(jobs.map((job) => milliseconds(job.runIn)))
      ])
      return row!.ids.map((id, index): JobId => makeId(row!.slots[index]!, id))
    })
  }
}
