/**
 * A few threads that run the attempts of one kind, one at a time each. A thread that is interrupted is ended: what
 * computes without pause hears of nothing.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { Worker } from "node:worker_threads"
import { type Attempt, Cancel, Snooze } from "../Attempt.ts"
import type { Any } from "../Job.ts"

/** What a thread is given: JSON, as it is stored. */
export interface Task {
  readonly payload: unknown
  readonly attempt: Readonly<Record<string, unknown>>
}

/** What comes back: progress on the way, one end. */
export type Said =
  | { readonly _tag: "Progress"; readonly percent: number; readonly message?: string | undefined }
  | { readonly _tag: "Checkpoint"; readonly value: unknown }
  | { readonly _tag: "Log"; readonly level: "Debug" | "Info" | "Warn" | "Error"; readonly message: string }
  | Came

export type Came =
  | { readonly _tag: "Succeeded"; readonly output: unknown }
  | { readonly _tag: "Failed"; readonly failure: unknown }
  | { readonly _tag: "Snoozed"; readonly millis: number }
  | { readonly _tag: "Cancelled"; readonly reason: string }
  | { readonly _tag: "Threw"; readonly name: string; readonly message: string; readonly stack?: string | undefined }

/** The thread ended before its attempt did: it ran out of memory, or something in it ended the process's thread. */
export class ThreadEnded extends Schema.TaggedError<ThreadEnded>()("ThreadEnded", { reason: Schema.String }) {
  override get message() {
    return `The thread ended before its job did: ${this.reason}`
  }
}

const grace = "500 millis" // for finalizers of an attempt that pauses now and then; a cancel is done within a second

const entry = new URL(import.meta.url.endsWith(".ts") ? "./thread.ts" : "./thread.js", import.meta.url)

export interface ThreadPool {
  readonly module: URL
  readonly turns: Semaphore.Semaphore
  readonly idle: Array<Worker>
}

export const make = (module: URL, threads: number) =>
  Effect.acquireRelease(
    Effect.map(Semaphore.make(threads), (turns): ThreadPool => ({ module, turns, idle: [] })),
    ({ idle }) => Effect.promise(() => Promise.all(idle.splice(0).map((worker) => worker.terminate())))
  )

/** Runs an attempt in a thread, and answers what came of it. */
export const run = (pool: ThreadPool, payload: unknown, attempt: Attempt) =>
  pool.turns.withPermits(1)(
    Effect.acquireUseRelease(
      Effect.sync(() => pool.idle.pop() ?? new Worker(entry, { workerData: pool.module.href })),
      (worker) => converse(worker, payload, attempt),
      (worker, exit) =>
        Effect.sync(() => (exit._tag === "Success" ? void pool.idle.push(worker) : void worker.terminate()))
    )
  )

const converse = Effect.fnUntraced(function* (worker: Worker, payload: unknown, attempt: Attempt) {
  const {
    checkpoint,
    checkpointed: _,
    complete: __,
    enqueuedAt,
    progress,
    step: ___,
    stopping: ____,
    ...known
  } = attempt
  const end = yield* Deferred.make<Came, ThreadEnded>()
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const hear = (said: Said) => {
    if (said._tag === "Progress") return void fork(progress(said.percent, said.message))
    if (said._tag === "Checkpoint") return void fork(checkpoint(said.value))
    if (said._tag === "Log") return void fork(Effect.logWithLevel(said.level)(said.message))
    Deferred.doneUnsafe(end, Effect.succeed(said))
  }
  const failed = (reason: string) => Deferred.doneUnsafe(end, Effect.fail(new ThreadEnded({ reason })))
  const onError = (error: unknown) => failed(String(error))
  const onExit = (code: number) => failed(`it exited with ${code}`)
  yield* Effect.acquireRelease(
    Effect.sync(() => worker.on("message", hear).once("error", onError).once("exit", onExit)),
    () => Effect.sync(() => worker.off("message", hear).off("error", onError).off("exit", onExit))
  )
  worker.postMessage({ payload, attempt: { ...known, enqueuedAt: enqueuedAt.epochMilliseconds } } satisfies Task)
  // Told first, so that finalizers can run; what does not answer in time is ended by whoever interrupts.
  return yield* Effect.onInterrupt(Deferred.await(end), () => {
    worker.postMessage("interrupt")
    return Effect.timeoutOption(Effect.exit(Deferred.await(end)), Duration.fromInputUnsafe(grace))
  })
}, Effect.scoped)

/** As the handler in the thread ended, here. */
export const decode = <K extends Any>(kind: K, came: Came) => {
  switch (came._tag) {
    case "Succeeded":
      return kind.output.ast._tag === "Void"
        ? Effect.undefined
        : Effect.orDie(Schema.decodeUnknownEffect(Schema.toCodecJson(kind.output))(came.output))
    case "Failed":
      return Effect.flatMap(
        Effect.orDie(Schema.decodeUnknownEffect(Schema.toCodecJson(kind.failure))(came.failure)),
        Effect.fail
      )
    case "Snoozed":
      return Effect.fail(new Snooze({ for: Duration.millis(came.millis) }))
    case "Cancelled":
      return Effect.fail(new Cancel({ reason: came.reason }))
    case "Threw":
      return Effect.die(Object.assign(new Error(came.message), { name: came.name, stack: came.stack }))
  }
}
