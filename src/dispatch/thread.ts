/** What a thread does: loads its module, runs one attempt after another, and says what came of each. */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { parentPort, workerData } from "node:worker_threads"
import { Cancel, Snooze } from "../Attempt.ts"
import type { ThreadAttempt, ThreadHandler } from "../Thread.ts"
import type { Came, Said, Task } from "./ThreadPool.ts"

const port = parentPort!
const say = (said: Said) => port.postMessage(said)

const levels: Readonly<Record<string, "Debug" | "Info" | "Warn" | "Error">> = {
  Fatal: "Error",
  Error: "Error",
  Warn: "Warn",
  Info: "Info"
}

/** What is logged in a thread is logged by the worker, as the attempt's own. */
const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
  const parts = Array.isArray(message) ? message : [message]
  const text = parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" ")
  say({ _tag: "Log", level: levels[logLevel] ?? "Debug", message: text })
})

const load = async (): Promise<ThreadHandler> => {
  const { default: exported } = (await import(workerData as string)) as { readonly default?: ThreadHandler }
  if (exported?.kind !== undefined && typeof exported.handle === "function") return exported
  throw new Error(
    `${workerData as string} exports no handler by default: write \`export default Thread.handler(kind, …)\``
  )
}

const perform = Effect.fnUntraced(
  function* ({ attempt, payload }: Task) {
    const { handle, kind } = yield* Effect.promise(load)
    const own = {
      ...attempt,
      enqueuedAt: DateTime.makeUnsafe(attempt["enqueuedAt"] as number),
      progress: (percent, message) => Effect.sync(() => say({ _tag: "Progress", percent, message })),
      checkpoint: (value) => Effect.sync(() => say({ _tag: "Checkpoint", value }))
    } as ThreadAttempt
    const given = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(kind.payload as Schema.Codec<unknown>))(
      payload
    ).pipe(Effect.orDie)
    const encode = (schema: Schema.Codec<unknown>, value: unknown) =>
      Effect.orDie(Schema.encodeUnknownEffect(Schema.toCodecJson(schema))(value))
    return yield* Effect.suspend(() => handle(given, own)).pipe(
      Effect.scoped,
      Effect.matchEffect({
        onSuccess: (output) =>
          kind.output.ast._tag === "Void"
            ? Effect.succeed<Came>({ _tag: "Succeeded", output: null })
            : Effect.map(encode(kind.output, output), (output): Came => ({ _tag: "Succeeded", output })),
        onFailure: (failure): Effect.Effect<Came> => {
          if (failure instanceof Snooze)
            return Effect.succeed({ _tag: "Snoozed", millis: Duration.toMillis(failure.for) })
          if (failure instanceof Cancel) return Effect.succeed({ _tag: "Cancelled", reason: failure.reason })
          return Effect.map(encode(kind.failure, failure), (failure): Came => ({ _tag: "Failed", failure }))
        }
      })
    )
  },
  Effect.provide(Logger.layer([logger]))
)

const threw = (cause: Cause.Cause<unknown>): Came => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return { _tag: "Threw", name: "Error", message: String(error) }
  return { _tag: "Threw", name: error.name, message: error.message, stack: error.stack }
}

let running = Option.none<Fiber.Fiber<Came>>()

port.on("message", (told: Task | "interrupt") => {
  if (told === "interrupt") return Option.map(running, (fiber) => fiber.interruptUnsafe())
  const fiber = Effect.runFork(perform(told))
  running = Option.some(fiber)
  fiber.addObserver((exit) => say(Exit.isSuccess(exit) ? exit.value : threw(exit.cause)))
})
