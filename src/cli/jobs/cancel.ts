import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { confirm } from "../confirm.ts"
import { someJobIds, jsonFlag, schemaFlag, yesFlag } from "../flags.ts"
import { moveEach } from "../moving.ts"
import { withStore } from "../store.ts"
import { counted } from "../../texts.ts"

export const cancel = Command.make(
  "cancel",
  {
    ids: someJobIds,
    reason: Flag.String("reason").pipe(
      Flag.withDescription("Kept with the job"),
      Flag.withDefault("cancelled at the command line")
    ),
    yes: yesFlag,
    schema: schemaFlag,
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    if (flags.ids.length > 1) yield* confirm(`cancel ${counted(flags.ids.length, "job")}`, flags.yes)
    const moving = Effect.flatMap(Client, (client) =>
      moveEach(flags.ids, flags.json, (id) =>
        Effect.map(client.cancel(id, flags.reason), (outcome) =>
          outcome === "cancelled" ? "is cancelled" : "is being cancelled: its worker interrupts it"
        )
      )
    )
    yield* withStore("jobs", flags, moving)
  })
).pipe(
  Command.withDescription("Cancel jobs that are not over; one that runs is interrupted by its worker"),
  Command.withExamples([
    { command: `lanekeeper jobs cancel 3-1742 --reason "wrong address"`, description: "One job" },
    { command: "lanekeeper jobs cancel --yes 3-1742 3-1743", description: "Several, without being asked" }
  ])
)
