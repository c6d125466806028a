import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Settings from "../Settings.ts"
import { jsonFlag, schemaFlag } from "./flags.ts"
import { type Worker, workerLine, type Workers } from "./shapes.ts"
import { withStore } from "./store.ts"
import { table } from "./table.ts"
import { rounded } from "../texts.ts"

export const workers = Command.make(
  "workers",
  { schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { staleAfter } = yield* Settings.read({ staleAfter: Settings.staleAfter })
    const { Store } = yield* Effect.promise(() => import("../store/Store.ts"))
    const rows = yield* withStore(
      "workers",
      flags,
      Effect.flatMap(Store, (store) => store.workers)
    )
    const told: typeof Workers.Type = { workers: rows.map((row) => workerLine(row, Duration.toMillis(staleAfter))) }
    if (flags.json) return yield* Console.log(JSON.stringify(told))
    yield* Console.log(told.workers.length === 0 ? "No worker is registered" : table(told.workers.map(rowOf)))
  })
).pipe(Command.withDescription("Show the workers: whether each lives, and what it serves"))

const rowOf = ({ id, kinds, lastBeat, name, queues, state }: typeof Worker.Type) => ({
  id: `${id}`,
  name,
  state,
  "last beat": `${rounded(Duration.millis(lastBeat))} ago`,
  queues: queues?.join(", ") ?? "",
  kinds: kinds?.join(", ") ?? ""
})
