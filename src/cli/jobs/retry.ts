import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { someJobIds, jsonFlag, schemaFlag } from "../flags.ts"
import { moveEach } from "../moving.ts"
import { withStore } from "../store.ts"

export const retry = Command.make(
  "retry",
  { ids: someJobIds, schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const moving = Effect.flatMap(Client, (client) =>
      moveEach(flags.ids, flags.json, (id) => Effect.as(client.retry(id), "is ready"))
    )
    yield* withStore("jobs", flags, moving)
  })
).pipe(
  Command.withDescription(
    "Make scheduled and dead jobs ready now; a dead one keeps its history and starts counting anew"
  ),
  Command.withExamples([{ command: "lanekeeper jobs retry 3-1742 3-1743", description: "Two jobs, at once" }])
)
