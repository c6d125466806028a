import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Lane } from "../lanes/Lane.ts"
import type { LaneRun, Leader } from "../store/Store.ts"
import { configured, databaseUrl, schemaFlag, schemaName } from "./configuration.ts"

export const lanes = Command.make(
  "lanes",
  {
    schema: schemaFlag,
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
    list: Flag.Boolean("list").pipe(
      Flag.withDescription("Print what there is to run, without a database"),
      Flag.withDefault(false)
    )
  },
  Effect.fn(function* (flags) {
    const { lanes } = yield* Effect.promise(() => import("../lanes/index.ts"))
    if (flags.list) {
      return yield* Console.log(flags.json ? JSON.stringify(lanes.map(described)) : table(lanes.map(rowOf)))
    }
    const { schema, url } = yield* configured({ url: databaseUrl, schema: schemaName(flags.schema) })
    const { layerGround } = yield* Effect.promise(() => import("./ground.ts"))
    const { Store } = yield* Effect.promise(() => import("../store/Store.ts"))
    const { leader, runs } = yield* Effect.flatMap(Store, ({ laneRuns, leader }) =>
      Effect.all({ leader, runs: laneRuns })
    ).pipe(Effect.provide(layerGround({ role: "lanes", url, schema })))
    const lastOf = (name: string) => runs.find(({ lane }) => lane === name)
    if (flags.json) {
      return yield* Console.log(
        JSON.stringify({ leader: plain(leader), lanes: lanes.map((lane) => told(lane, lastOf(lane.name))) })
      )
    }
    yield* Console.log(table(lanes.map((lane) => ({ ...rowOf(lane), ...lastRun(lastOf(lane.name)) }))))
    yield* Console.log(`\n${sentence(leader)}`)
  })
).pipe(
  Command.withDescription("Show the lanes of maintenance: how often each runs, and how it ran last, wherever that was")
)

const described = (lane: Lane) => ({
  lane: lane.name,
  class: lane.class,
  interval: Duration.toMillis(lane.interval),
  batch: lane.batch,
  budget: Duration.toMillis(lane.budget)
})

const told = (lane: Lane, run: LaneRun | undefined) => ({
  ...described(lane),
  last:
    run === undefined
      ? null
      : {
          ago: Math.round(Duration.toMillis(run.age)),
          took: Math.round(Duration.toMillis(run.took)),
          rows: run.rows,
          failures: run.failures,
          error: run.error
        }
})

const plain = ({ holder, leading, term }: Leader) => ({
  term: Number(term),
  holder: Option.getOrNull(holder),
  leading: Math.round(Duration.toMillis(leading))
})

const rowOf = (lane: Lane): Readonly<Record<string, string>> => ({
  lane: lane.name,
  class: lane.class,
  interval: Duration.format(lane.interval),
  batch: lane.batch.toLocaleString("en"),
  budget: Duration.format(lane.budget)
})

const rounded = (duration: Duration.Duration) => {
  const millis = Duration.toMillis(duration)
  return Duration.format(
    millis < 1_000 ? Duration.millis(Math.round(millis)) : Duration.seconds(Math.round(millis / 1_000))
  )
}

const lastRun = (run: LaneRun | undefined): Readonly<Record<string, string>> => ({
  "last run": run === undefined ? "never" : `${rounded(run.age)} ago`,
  took: run === undefined ? "" : rounded(run.took),
  rows: run === undefined ? "" : `${run.rows}`,
  result: run === undefined ? "" : run.error === null ? "done" : `failed ${run.failures} in a row: ${run.error}`
})

const sentence = ({ holder, leading, term }: Leader) =>
  Option.match(holder, {
    onNone: () => "Nobody leads: start a worker or `lanekeeper maintenance`",
    onSome: (name) => `${name} leads in term ${term}, for ${rounded(leading)}`
  })

/** Columns as wide as their widest entry. */
const table = (rows: ReadonlyArray<Readonly<Record<string, string>>>) => {
  const names = Object.keys(rows[0] ?? {})
  const all = [Object.fromEntries(names.map((name) => [name, name])), ...rows]
  const width = (name: string) => Math.max(...all.map((row) => (row[name] ?? "").length))
  return all
    .map((row) =>
      names
        .map((name) => (row[name] ?? "").padEnd(width(name)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
