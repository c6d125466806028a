import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { numberOf, places } from "../../domain/Job.ts"
import type { JobView } from "../../store/Store.ts"
import { afterFlag, jsonFlag, limitFlag, placeFlag, queueFlag, schemaFlag } from "../flags.ts"
import { jobLine, type JobPage, reasonOf } from "../shapes.ts"
import { withStore } from "../store.ts"
import { table } from "../table.ts"
import { ago, roughly, until } from "../../texts.ts"

export const list = Command.make(
  "list",
  {
    place: placeFlag,
    queue: queueFlag,
    after: afterFlag,
    limit: limitFlag,
    schema: schemaFlag,
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    const asked = flags.place.length > 0 ? [...new Set(flags.place)] : places
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const jobs = yield* Effect.flatMap(Client, (client) =>
      Effect.forEach(asked, (place) =>
        client.list({
          place,
          queue: Option.getOrUndefined(flags.queue),
          after: Option.getOrUndefined(flags.after),
          limit: flags.limit
        })
      )
    ).pipe((pages) => withStore("jobs", flags, pages))
    const newest = jobs.flat().toSorted(newestFirst).slice(0, flags.limit)
    const page: typeof JobPage.Type = {
      jobs: newest.map(jobLine),
      next: newest.length === flags.limit ? newest.at(-1)!.id : null
    }
    if (flags.json) return yield* Console.log(JSON.stringify(page))
    yield* Console.log(newest.length === 0 ? "There are no such jobs" : table(newest.map(rowOf)))
    if (page.next !== null) yield* Console.log(`\nThe next page: --after ${page.next}`)
  })
).pipe(
  Command.withDescription("List jobs, the newest first"),
  Command.withExamples([
    { command: "lanekeeper jobs list --place running --place ready", description: "What is at work and what waits" },
    { command: "lanekeeper jobs list --place dead --queue email --json", description: "Dead letters, for a script" }
  ])
)

const newestFirst = (one: JobView, other: JobView) => Number(numberOf(other.id) - numberOf(one.id))

const rowOf = (view: JobView) => ({
  id: view.id,
  kind: view.kind,
  queue: view.queue,
  place: view.place,
  priority: `${view.priority}`,
  attempt: `${view.attempt}`,
  enqueued: `${roughly(ago(view.enqueuedAt))} ago`,
  due: Option.match(view.due, { onNone: () => "", onSome: until }),
  reason: reasonOf(view) ?? ""
})
