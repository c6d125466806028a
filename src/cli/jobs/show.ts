import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { JobNotFound } from "../../Result.ts"
import type { HistoryLine, JobView } from "../../store/Store.ts"
import { jobId, jsonFlag, schemaFlag } from "../flags.ts"
import { jobDetails } from "../shapes.ts"
import { withStore } from "../store.ts"
import { oneLine, table } from "../table.ts"
import { ago, roughly, until } from "../../texts.ts"

export const show = Command.make(
  "show",
  { id: jobId, schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const found = yield* withStore(
      "jobs",
      flags,
      Effect.flatMap(Client, (client) => client.get(flags.id))
    )
    if (Option.isNone(found)) return yield* new JobNotFound({ id: flags.id })
    const view = found.value
    yield* Console.log(flags.json ? JSON.stringify(jobDetails(view)) : text(view))
  })
).pipe(
  Command.withDescription("Show a job with its history"),
  Command.withExamples([
    { command: "lanekeeper jobs show 3-1742", description: "Where it stands and how it got there" }
  ])
)

const text = (view: JobView) => {
  const facts: ReadonlyArray<readonly [string, string]> = [
    ["job", view.id],
    ["kind", view.kind],
    ["queue", `${view.queue}, priority ${view.priority}`],
    ["place", Option.match(view.due, { onNone: () => view.place, onSome: (due) => `${view.place}, ${until(due)}` })],
    ...Option.toArray(Option.map(view.worker, (worker) => ["worker", `${worker}`] as const)),
    ["attempt", `${view.attempt} (${view.failures} failed, ${view.crashes} crashed)`],
    ["enqueued", `${roughly(ago(view.enqueuedAt))} ago`],
    ["payload", JSON.stringify(view.payload)],
    ...(view.details === null ? [] : [["details", JSON.stringify(view.details)] as const])
  ]
  const head = facts.map(([name, value]) => `${name.padEnd(9)} ${oneLine(value)}`).join("\n")
  return view.history.length === 0 ? head : `${head}\n\n${table(view.history.map(lineOf))}`
}

const lineOf = ({ attempt, error, output, reason, state, worker }: HistoryLine) => ({
  attempt: `${attempt}`,
  ended: state,
  worker: Option.match(worker, { onNone: () => "", onSome: String }),
  reason: reason ?? (error === null ? "" : JSON.stringify(error)),
  output: output === null ? "" : JSON.stringify(output)
})
