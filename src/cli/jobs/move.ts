import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { jsonFlag, schemaFlag, someJobIds } from "../flags.ts"
import { moveEach } from "../moving.ts"
import { withStore } from "../store.ts"

/** Neither a queue nor a priority was given. */
export class NowhereToMove extends Schema.TaggedError<NowhereToMove>()("NowhereToMove", {}) {
  override get message() {
    return "Say where to: --queue, --priority or both"
  }
}

export const move = Command.make(
  "move",
  {
    ids: someJobIds,
    queue: Flag.String("queue").pipe(Flag.withDescription("The queue they go to"), Flag.optional),
    priority: Flag.Int("priority").pipe(Flag.withDescription("0 runs first, 9 last"), Flag.optional),
    schema: schemaFlag,
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    const to = { queue: Option.getOrUndefined(flags.queue), priority: Option.getOrUndefined(flags.priority) }
    if (to.queue === undefined && to.priority === undefined) return yield* new NowhereToMove()
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const moving = Effect.flatMap(Client, (client) =>
      moveEach(flags.ids, flags.json, (id) => Effect.as(client.reassign(id, to), "was moved"))
    )
    yield* withStore("jobs", flags, moving)
  })
).pipe(
  Command.withDescription("Give ready jobs another queue, another priority, or both"),
  Command.withExamples([
    { command: "lanekeeper jobs move 3-1742 --queue email", description: "To a queue that a worker serves" }
  ])
)
