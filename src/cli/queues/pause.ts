import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { jsonFlag, schemaFlag } from "../flags.ts"
import type { QueueState } from "../shapes.ts"
import { withStore } from "../store.ts"

const queue = Argument.String("queue").pipe(Argument.withDescription("The queue"))

const say = (queue: string, paused: boolean, json: boolean) => {
  const told: typeof QueueState.Type = { queue, paused }
  return Console.log(json ? JSON.stringify(told) : `${queue} is ${paused ? "paused" : "open"}`)
}

export const pause = Command.make(
  "pause",
  { queue, schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    yield* withStore(
      "queues",
      flags,
      Effect.flatMap(Client, (client) => client.pauseQueue(flags.queue))
    )
    yield* say(flags.queue, true, flags.json)
  })
).pipe(Command.withDescription("Let no worker take from a queue, until it is resumed. What runs goes on"))

export const resume = Command.make(
  "resume",
  { queue, schema: schemaFlag, json: jsonFlag },
  Effect.fn(function* (flags) {
    const { Client } = yield* Effect.promise(() => import("../../Client.ts"))
    yield* withStore(
      "queues",
      flags,
      Effect.flatMap(Client, (client) => client.resumeQueue(flags.queue))
    )
    yield* say(flags.queue, false, flags.json)
  })
).pipe(Command.withDescription("Let workers take from a queue again"))
