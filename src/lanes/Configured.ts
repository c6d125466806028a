/** The list of lanes as an application wants it, or everything that is wrong with what it wants. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Settings from "../Settings.ts"
import { hook, running } from "./hook.ts"
import { lanes as all } from "./index.ts"
import { indexes } from "./indexes.ts"
import type { Lane } from "./Lane.ts"

export interface LaneOptions {
  /** How often workers say that they live. Defaults to 5 seconds. */
  readonly heartbeat?: Duration.Input | undefined
  /** How long a worker may be silent before its jobs are rescued. Defaults to 30 seconds. */
  readonly staleAfter?: Duration.Input | undefined
  /** How many times a job may be rescued; one more and it is dead. Defaults to 3. */
  readonly crashBudget?: number | undefined
  /** An Effect of your own, run every minute by the leader and given up after 30 seconds. Nothing by default. */
  readonly hook?: Effect.Effect<unknown, unknown> | undefined
  /** The hour of the day, by UTC, in which indexes are rebuilt. Defaults to 3. */
  readonly quietHour?: number | undefined
  /** By name. What is not given is as `lanes` prints it. */
  readonly lanes?:
    | Readonly<Record<string, { readonly interval?: Duration.Input | undefined; readonly batch?: number | undefined }>>
    | undefined
}

export interface Configured {
  readonly lanes: ReadonlyArray<Lane>
  readonly heartbeat: Duration.Duration
  readonly staleAfter: Duration.Duration
  readonly crashBudget: number
}

/** What was asked of maintenance cannot work. */
export class InvalidLaneOptions extends Schema.TaggedError<InvalidLaneOptions>()("InvalidLaneOptions", {
  faults: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 78

  override get message() {
    return this.faults.join("\n")
  }
}

const names = all.map(({ name }) => name).join(", ")

/** Reports every fault at once, by the names they have here and in the environment. */
export const configure = Effect.fnUntraced(function* (options: LaneOptions) {
  const faults: Array<string> = []
  const duration = (name: string, input: Duration.Input) => {
    const value = Duration.fromInputUnsafe(input)
    if (!Duration.isPositive(value)) faults.push(`${name} is ${Duration.format(value)}: it is longer than nothing`)
    return value
  }
  const heartbeat = duration("heartbeat (LANEKEEPER_HEARTBEAT)", options.heartbeat ?? Settings.heartbeat.fallback.value)
  const staleAfter = duration(
    "staleAfter (LANEKEEPER_STALE_AFTER)",
    options.staleAfter ?? Settings.staleAfter.fallback.value
  )
  const { crashBudget = Settings.crashBudget.fallback.value } = options
  if (!Duration.isGreaterThan(staleAfter, heartbeat)) {
    faults.push(
      `staleAfter (LANEKEEPER_STALE_AFTER) is ${Duration.format(staleAfter)}: it is longer than the heartbeat, ${Duration.format(heartbeat)}`
    )
  }
  if (!Number.isInteger(crashBudget) || crashBudget < 0) {
    faults.push(`crashBudget (LANEKEEPER_CRASH_BUDGET) is ${crashBudget}: it is a whole number from 0`)
  }
  const { quietHour = indexes.quietHour! } = options
  if (!Number.isInteger(quietHour) || quietHour < 0 || quietHour > 23) {
    faults.push(`quietHour is ${quietHour}: it is an hour of the day, from 0 to 23`)
  }
  for (const name of Object.keys(options.lanes ?? {})) {
    if (!all.some((lane) => lane.name === name)) faults.push(`There is no lane "${name}": there are ${names}`)
  }
  const lanes = all.map((lane): Lane => {
    const { batch = lane.batch, interval = lane.interval } = options.lanes?.[lane.name] ?? {}
    if (!Number.isInteger(batch) || batch < 1 || batch > 10_000) {
      faults.push(`The batch of ${lane.name} is ${batch}: it is from 1 to 10,000`)
    }
    return {
      ...lane,
      batch,
      interval: duration(`The interval of ${lane.name}`, interval),
      ...(lane.quietHour === undefined ? {} : { quietHour }),
      ...(lane.name === hook.name && options.hook !== undefined ? { body: running(options.hook) } : {})
    }
  })
  if (faults.length > 0) return yield* new InvalidLaneOptions({ faults })
  if (Duration.isLessThan(staleAfter, Duration.times(heartbeat, 3))) {
    yield* Effect.logWarning("Workers are given up after less than three heartbeats: one late beat can cost a rescue")
  }
  const looking = lanes.find(({ name }) => name === "rescue-stale")
  if (looking !== undefined && Duration.isLessThan(staleAfter, Duration.times(looking.interval, 2.2))) {
    yield* Effect.logWarning(
      "rescue-stale looks too seldom for so short a staleAfter: silence that nobody watches does not count, and nothing is rescued",
      { staleAfter: Duration.format(staleAfter), interval: Duration.format(looking.interval) }
    )
  }
  return { lanes, heartbeat, staleAfter, crashBudget } satisfies Configured
})
