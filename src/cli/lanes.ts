import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Lane } from "../lanes/Lane.ts"
import type { LaneRun, Leader } from "../store/Store.ts"
import { jsonFlag, schemaFlag } from "./flags.ts"
import type { Lane as LaneShape, Lanes } from "./shapes.ts"
import { withStore } from "./store.ts"
import { table } from "./table.ts"
import { millis, rounded } from "../texts.ts"

export const lanes = Command.make(
  "lanes",
  {
    schema: schemaFlag,
    json: jsonFlag,
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
    const { Store } = yield* Effect.promise(() => import("../store/Store.ts"))
    const reading = Effect.flatMap(Store, ({ laneRuns, leader }) => Effect.all({ leader, runs: laneRuns }))
    const { leader, runs } = yield* withStore("lanes", flags, reading)
    const lastOf = (name: string) => runs.find(({ lane }) => lane === name)
    if (flags.json) {
      const answer: typeof Lanes.Type = {
        leader: plain(leader),
        lanes: lanes.map((lane) => told(lane, lastOf(lane.name)))
      }
      return yield* Console.log(JSON.stringify(answer))
    }
    yield* Console.log(table(lanes.map((lane) => ({ ...rowOf(lane), ...lastRun(lastOf(lane.name)) }))))
    yield* Console.log(`\n${sentence(leader)}`)
  })
).pipe(
  Command.withDescription("Show the lanes of maintenance: how often each runs, and how it ran last, wherever that was")
)

const described = (lane: Lane): typeof LaneShape.Type => ({
  lane: lane.name,
  class: lane.class,
  interval: Duration.toMillis(lane.interval),
  quietHour: lane.quietHour ?? null,
  batch: lane.batch,
  budget: Duration.toMillis(lane.budget)
})

const told = (lane: Lane, run: LaneRun | undefined) => ({
  ...described(lane),
  last:
    run === undefined
      ? null
      : {
          ago: millis(run.age),
          took: millis(run.took),
          rows: run.rows,
          failures: run.failures,
          error: run.error
        }
})

const plain = ({ holder, leading, term }: Leader) => ({
  term: Number(term),
  holder: Option.getOrNull(holder),
  leading: millis(leading)
})

const rowOf = (lane: Lane): Readonly<Record<string, string>> => ({
  lane: lane.name,
  class: lane.class,
  interval: lane.quietHour === undefined ? Duration.format(lane.interval) : "quiet hour",
  batch: lane.batch.toLocaleString("en"),
  budget: Duration.format(lane.budget)
})

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
