import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { jsonFlag, schemaFlag } from "../flags.ts"
import type { QueueState } from "../shapes.ts"
import { withStore } from "../store.ts"

const flags = {
  queue: Argument.String("queue").pipe(Argument.withDescription("The queue")),
  schema: schemaFlag,
  json: jsonFlag
}

const setting = (paused: boolean) =>
  Effect.fn(function* ({ json, queue, schema }: Command.Command.Config.Infer<typeof flags>) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    const move = paused ? "pauseQueue" : "resumeQueue"
    yield* withStore(
      "queues",
      { schema },
      Effect.flatMap(Client, (client) => client[move](queue))
    )
    const told: typeof QueueState.Type = { queue, paused }
    yield* Console.log(json ? JSON.stringify(told) : `${queue} is ${paused ? "paused" : "open"}`)
  })

export const pause = Command.make("pause", flags, setting(true)).pipe(
  Command.withDescription("Let no worker take from a queue, until it is resumed. What runs goes on")
)

export const resume = Command.make("resume", flags, setting(false)).pipe(
  Command.withDescription("Let workers take from a queue again")
)
