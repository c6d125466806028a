import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { JobView } from "../../store/Store.ts"
import { afterFlag, jsonFlag, limitFlag, queueFlag, schemaFlag } from "../flags.ts"
import { jobLine, type JobPage, reasonOf } from "../shapes.ts"
import { withStore } from "../store.ts"
import { table } from "../table.ts"
import { ago, roughly } from "../../texts.ts"

export const list = Command.make(
  "list",
  { queue: queueFlag, after: afterFlag, limit: limitFlag, schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const { limit } = flags
    const jobs = yield* Effect.flatMap(Client, (client) =>
      client.list({
        place: "dead",
        queue: Option.getOrUndefined(flags.queue),
        after: Option.getOrUndefined(flags.after),
        limit
      })
    ).pipe((reading) => withStore("dead", flags, reading))
    const page: typeof JobPage.Type = { jobs: jobs.map(jobLine), next: jobs.length === limit ? jobs.at(-1)!.id : null }
    if (flags.json) return yield* Console.log(JSON.stringify(page))
    yield* Console.log(jobs.length === 0 ? "No job is dead" : table(jobs.map(rowOf)))
    if (page.next !== null) yield* Console.log(`\nThe next page: --after ${page.next}`)
  })
).pipe(Command.withDescription("List dead jobs and why they died, the newest first"))

const rowOf = (view: JobView) => ({
  id: view.id,
  kind: view.kind,
  queue: view.queue,
  attempts: `${view.attempt}`,
  enqueued: `${roughly(ago(view.enqueuedAt))} ago`,
  reason: reasonOf(view) ?? ""
})
