/** What the sentences about workers are made of: a store that can be watched and made to fail, and a worker on it. */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import { Client } from "../../src/Client.ts"
import type { DispatcherOptions } from "../../src/dispatch/Settings.ts"
import type { Liveness } from "../../src/dispatch/dispatch.ts"
import { Dispatcher } from "../../src/Dispatcher.ts"
import type { Handlers } from "../../src/Handlers.ts"
import * as Job from "../../src/Job.ts"
import { Store } from "../../src/store/Store.ts"
import { layerMemory } from "../../src/store/memory/index.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import { Wakeup } from "../../src/Wakeup.ts"
import { Lines, steady } from "../lanes/world.ts"

/** A kind whose jobs do what the test says. */
export const Work = Job.make("work", { payload: { n: Schema.Int } })

export const away = new SqlError({ reason: new ConnectionError({ cause: new Error("the database is away") }) })

/** What was asked of the store, and what it does before it answers. */
export class Watched {
  readonly calls: Array<{ readonly name: string; readonly argument: unknown }> = []
  before: (name: string) => Effect.Effect<void, SqlError> = () => Effect.void
  after: (name: string) => Effect.Effect<void> = () => Effect.void
  /** What it answers instead, without asking. */
  answer: (name: string) => unknown = () => undefined

  of(name: string): ReadonlyArray<never> {
    return this.calls.filter((call) => call.name === name).map(({ argument }) => argument) as never
  }

  count(name: string): number {
    return this.of(name).length
  }

  readonly layer = Layer.effect(
    Store,
    Effect.map(Store, (store) => {
      const watch =
        <Name extends keyof Store["Service"]>(name: Name) =>
        (...args: ReadonlyArray<unknown>) =>
          Effect.suspend(() => {
            this.calls.push({ name, argument: name === "finish" ? args[1] : args.at(-1) })
            const answer = this.answer(name)
            if (answer !== undefined) return Effect.succeed(answer)
            const call = (store[name] as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown>)(...args)
            return Effect.tap(Effect.andThen(this.before(name), call), this.after(name))
          })
      const watched = [
        "note",
        "remember",
        "claim",
        "finish",
        "beat",
        "begin",
        "release",
        "register",
        "forget",
        "unhandled"
      ] as const
      return { ...store, ...Object.fromEntries(watched.map((name) => [name, watch(name)])) }
    })
  )
}

const liveness: Liveness = {
  heartbeat: Duration.seconds(5),
  staleAfter: Duration.seconds(30),
  crashBudget: 3
}

/** Lets time pass, and everything settle that it set going. */
export const elapse = (time: Duration.Input) =>
  Effect.andThen(TestClock.adjust(time), Effect.repeat(TestClock.adjust(0), { times: 30 }))

export interface World {
  readonly watched: Watched
  readonly lines: ReadonlyArray<string>
  readonly store: Store["Service"]
  readonly wakeup: Wakeup["Service"]
  /** Begins a worker, and answers with what ends it. */
  readonly worker: (
    handlers: Layer.Layer<Handlers>,
    options?: DispatcherOptions & Partial<Liveness>
  ) => Effect.Effect<RunningWorker, never, Scope.Scope>
}

export interface RunningWorker {
  /** Asks it to stop, and does not wait. */
  readonly stop: Effect.Effect<void>
  readonly ended: Effect.Effect<void>
  readonly isOver: () => boolean
  readonly abort: Effect.Effect<void>
}

/** Runs a test on a store of its own; nothing is jittered. */
export const inWorld = <E>(body: (world: World) => Effect.Effect<void, E, Client | Scope.Scope>) => {
  const watched = new Watched()
  const lines = new Lines()
  const ground = Layer.mergeAll(StoreConnections.layerShared, Client.layer).pipe(
    Layer.provideMerge(Layer.merge(watched.layer.pipe(Layer.provide(layerMemory)), Wakeup.layerLocal))
  )
  return Effect.gen(function* () {
    const context = yield* Effect.context<Store | StoreConnections | Wakeup>()
    return yield* body({
      watched,
      lines: lines.lines,
      store: Context.get(context, Store),
      wakeup: Context.get(context, Wakeup),
      worker: Effect.fnUntraced(function* (handlers, options = {}) {
        const layer = Layer.fresh(Dispatcher.layer({ ...liveness, ...options })).pipe(Layer.provide(handlers))
        const dispatcher = Context.get(
          yield* Effect.orDie(
            Effect.provideContext(Layer.build(layer), context) as Effect.Effect<
              Context.Context<Dispatcher>,
              unknown,
              Scope.Scope
            >
          ),
          Dispatcher
        )
        const stopping = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkScoped(dispatcher.run(stopping))
        yield* elapse(0)
        return {
          stop: Effect.asVoid(Deferred.succeed(stopping, undefined)),
          ended: Effect.asVoid(Fiber.await(fiber)),
          isOver: () => fiber.pollUnsafe() !== undefined,
          abort: Fiber.interrupt(fiber)
        }
      })
    })
  }).pipe(Effect.scoped, Effect.provide(Layer.mergeAll(Layer.fresh(ground), lines.layer, steady)))
}
