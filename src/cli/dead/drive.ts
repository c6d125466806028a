/** What is done to dead jobs: those somebody names, or all that a filter lets through. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { confirm } from "../confirm.ts"
import { filterText, jobIds, jsonFlag, kindFlag, queueFlag, schemaFlag, yesFlag } from "../flags.ts"
import { moveDead, moveEach, sayMany } from "../moving.ts"
import { withStore } from "../store.ts"
import { counted } from "../../texts.ts"

/** Neither a job nor a filter was given, or both. */
export class NothingAsked extends Schema.TaggedError<NothingAsked>()("NothingAsked", {}) {
  override get message() {
    return "Say which jobs: their ids, or --kind, --queue or --all"
  }
}

const flags = {
  ids: jobIds,
  queue: queueFlag,
  kind: kindFlag,
  all: Flag.Boolean("all").pipe(Flag.withDescription("Every dead job"), Flag.withDefault(false)),
  yes: yesFlag,
  schema: schemaFlag,
  json: jsonFlag
}

const driving = (move: "retry" | "purge", outcome: string) =>
  Effect.fn(function* (given: Command.Command.Config.Infer<typeof flags>) {
    const filtered = given.all || Option.isSome(given.queue) || Option.isSome(given.kind)
    if (filtered === given.ids.length > 0) return yield* new NothingAsked()
    if (move === "purge") {
      const which = filtered ? `every dead job ${filterText(given)}` : counted(given.ids.length, "dead job")
      yield* confirm(`purge ${which.trimEnd()}`, given.yes)
    }
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const moving = Effect.flatMap(Client, (client) =>
      filtered
        ? Effect.flatMap(moveDead(client, given, client[move]), (counts) => sayMany(outcome, counts, given.json))
        : moveEach(given.ids, given.json, (id) => Effect.as(client[move](id), outcome))
    )
    yield* withStore("dead", given, moving)
  })

export const redrive = Command.make("redrive", flags, driving("retry", "driven again")).pipe(
  Command.withDescription(
    "Make dead jobs ready again, with their history and fresh counts of failures and crashes; not while another job has their unique key"
  ),
  Command.withExamples([
    { command: "lanekeeper dead redrive 3-1742", description: "One job" },
    { command: "lanekeeper dead redrive --kind send-email", description: "All of a kind" }
  ])
)

export const purge = Command.make("purge", flags, driving("purge", "purged")).pipe(
  Command.withDescription("Delete dead jobs and their history"),
  Command.withExamples([
    { command: "lanekeeper dead purge --queue import --yes", description: "All of a queue, without being asked" }
  ])
)
