import * as Command from "effect/cli/Command"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Settings from "../../Settings.ts"
import { countFlag, jsonFlag } from "../flags.ts"

const { directUrl, leadership, url } = Settings.storeSettings

export const bench = Command.make(
  "bench",
  {
    jobs: countFlag("jobs", "How many are enqueued in bulk and then run", 1_000_000, 20_000),
    seconds: countFlag("seconds", "How long pickups are watched, and how long jobs are enqueued one by one", 600, 5),
    concurrency: countFlag("concurrency", "How many attempts the worker runs at once", 10_000, 100),
    producers: countFlag("producers", "How many enqueue at once, each on a connection", 1_000, 10),
    payloadBytes: countFlag("payload-bytes", "The size of a payload", 1_000_000, 200),
    json: jsonFlag
  },
  Effect.fn(function* ({ json, ...options }) {
    const where = yield* Settings.read({ url, directUrl, leadership })
    const { run } = yield* Effect.promise(() => import("./run.ts"))
    const { report } = yield* Effect.promise(() => import("./figures.ts"))
    const found = yield* run({ ...where, ...options })
    yield* Console.log(json ? JSON.stringify(found) : report(found))
  })
).pipe(
  Command.withDescription(
    "Measure what the database can do, in a schema that is made for it and dropped again. It works the server hard for some 15 seconds"
  ),
  Command.withExamples([
    { command: "lanekeeper bench", description: "On DATABASE_URL" },
    { command: "lanekeeper bench --concurrency 1000 --jobs 100000 --json", description: "More at once, for a script" }
  ])
)
