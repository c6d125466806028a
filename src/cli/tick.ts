import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { Tick } from "../lanes/tick.ts"
import * as Settings from "../Settings.ts"
import { jsonFlag, schemaFlag } from "./flags.ts"
import type { Tick as TickShape } from "./shapes.ts"

/** Some lanes failed; the others ran. */
export class LanesFailed extends Schema.TaggedError<LanesFailed>()("LanesFailed", {
  faults: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 1

  override get message() {
    return this.faults.join("\n")
  }
}

export const tick = Command.make(
  "tick",
  {
    schema: schemaFlag,
    lane: Flag.String("lane").pipe(
      Flag.withDescription("Only this lane, due or not; can be repeated"),
      Flag.atLeast(0)
    ),
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    const { schema, url, ...options } = yield* Settings.read(
      {
        url: Settings.databaseUrl,
        schema: Settings.schema,
        budget: Settings.tickBudget,
        ...Settings.laneSettings
      },
      { schema: flags.schema }
    )
    const { tick } = yield* Effect.promise(() => import("../lanes/tick.ts"))
    const { layerGround } = yield* Effect.promise(() => import("./ground.ts"))
    const only = flags.lane.length > 0 ? flags.lane : undefined
    const done = yield* tick({ ...options, only }).pipe(Effect.provide(layerGround({ role: "tick", url, schema })))
    yield* Console.log(flags.json ? JSON.stringify(plain(done)) : sentences(done))
    const faults = done.ran.flatMap(({ error, lane }) => (error === null ? [] : [`The lane ${lane} failed (${error})`]))
    if (faults.length > 0) return yield* new LanesFailed({ faults })
  })
).pipe(
  Command.withDescription(
    "Run every lane that is due, once, and end. Safe beside a leader. To rescue, call it more often than every half of LANEKEEPER_STALE_AFTER"
  )
)

const plain = ({ left, ran }: Tick): typeof TickShape.Type => ({
  ran: ran.map(({ took, ...report }) => ({ ...report, took: Duration.toMillis(took) })),
  left
})

const sentences = ({ left, ran }: Tick) => {
  const lines = ran.map(({ error, lane, rows, took }) => {
    const counts = Object.entries(rows).map(([outcome, count]) => `${count} ${outcome}`)
    const what = error === null ? counts.join(", ") || "nothing to do" : "failed"
    return `${lane}: ${what} (${Math.round(Duration.toMillis(took))} ms)`
  })
  if (left.length > 0) lines.push(`Left for the next time: ${left.join(", ")}`)
  return lines.join("\n") || "No lane is due"
}
