/** A worker as its application wants it, or everything that is wrong with what it wants. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import { isText, textRule } from "../EnqueueOptions.ts"
import type { Handler } from "../Handlers.ts"
import type { Any } from "../Job.ts"

export interface DispatcherOptions {
  /**
   * Kinds that must have a handler here. Those that have one are run whether they are named or not: naming them makes a
   * forgotten handler an error of types.
   */
  readonly jobs?: ReadonlyArray<Any> | undefined
  /** The queues to serve, and how many attempts of each run at once. Defaults to the queues the handled kinds declare. */
  readonly queues?: Readonly<Record<string, { readonly concurrency?: number | undefined }>> | undefined
  /** Of a queue that says none. Defaults to 10. */
  readonly concurrency?: number | undefined
  /** How long until it looks without having been told. Defaults to 1 second. */
  readonly pollInterval?: Duration.Input | undefined
  /** How long attempts may go on when it is told to stop, before they are interrupted. Defaults to 20 seconds. */
  readonly drain?: Duration.Input | undefined
  /** What others see it as. Defaults to the host's name and the process's number. */
  readonly name?: string | undefined
}

export interface Settings {
  readonly handlers: ReadonlyMap<string, Handler>
  readonly queues: ReadonlyMap<string, number>
  readonly pollInterval: Duration.Duration
  readonly drain: Duration.Duration
  readonly name: string
}

/** What was asked of a worker cannot work. */
export class InvalidWorkerOptions extends Schema.TaggedError<InvalidWorkerOptions>()("InvalidWorkerOptions", {
  faults: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 78

  override get message() {
    return this.faults.join("\n")
  }
}

const shortestPoll = Duration.millis(50)

/** Reports every fault at once, by the names they have here and in the environment. */
export const settle = Effect.fnUntraced(function* (
  options: DispatcherOptions,
  handlers: ReadonlyMap<string, Handler>,
  defaultName: string
) {
  const faults: Array<string> = []
  const duration = (name: string, input: Duration.Input, least: Duration.Duration) => {
    const value = Option.getOrElse(Duration.fromInput(input), () => Duration.infinity)
    const fits = Duration.isFinite(value) && Duration.isGreaterThanOrEqualTo(value, least)
    if (!fits) faults.push(`${name} is ${Duration.format(value)}: it is at least ${Duration.format(least)}, and finite`)
    return value
  }
  const concurrency = (name: string, value: number) => {
    if (!Number.isInteger(value) || value < 1 || value > 10_000) {
      faults.push(`${name} is ${value}: it is a whole number from 1 to 10,000`)
    }
    return value
  }

  if (handlers.size === 0) faults.push("There is no handler: provide the layers that `handle` makes of your kinds")
  for (const { name } of options.jobs ?? []) {
    if (!handlers.has(name)) faults.push(`The kind "${name}" has no handler here: provide the layer of its \`handle\``)
  }
  const standard = concurrency("concurrency (LANEKEEPER_CONCURRENCY)", options.concurrency ?? 10)
  const declared = [...new Set(Array.from(handlers.values(), ({ kind }) => kind.defaults.queue))]
  const asked: DispatcherOptions["queues"] = options.queues ?? Object.fromEntries(declared.map((queue) => [queue, {}]))
  const queues = new Map<string, number>()
  for (const [queue, { concurrency: own = standard }] of Object.entries(asked)) {
    if (!isText(queue)) faults.push(`The queue "${queue}" cannot be: its name ${textRule}`)
    queues.set(queue, concurrency(`The concurrency of the queue ${queue}`, own))
  }
  if (queues.size === 0) faults.push("There is no queue to serve (LANEKEEPER_QUEUES): name at least one")

  const settings: Settings = {
    handlers,
    queues,
    pollInterval: duration("pollInterval (LANEKEEPER_POLL_INTERVAL)", options.pollInterval ?? "1 second", shortestPoll),
    drain: duration("drain (LANEKEEPER_DRAIN)", options.drain ?? "20 seconds", Duration.zero),
    name: options.name ?? defaultName
  }
  if (faults.length > 0) return yield* new InvalidWorkerOptions({ faults })
  return settings
})
