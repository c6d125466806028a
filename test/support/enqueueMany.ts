/** Enqueues as many jobs as it is told in one call, as an app would, and says how many it was told of. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Job from "../../src/Job.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"

const Resize = Job.make("resize", { payload: { image: Schema.Int, note: Schema.String } })

const count = Number(process.argv[2])

function* payloads() {
  for (let image = 0; image < count; image++) yield { image, note: "x".repeat(180) }
}

const app = Lanekeeper.layerClient.pipe(
  Layer.provide(Lanekeeper.layerPostgres()),
  Layer.provide(PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }))
)

Effect.flatMap(Resize.enqueueMany(payloads()), (enqueued) => Console.log(`enqueued ${enqueued.length}`)).pipe(
  Effect.provide(app),
  NodeRuntime.runMain
)
