/** What the sentences about lanes are made of: a lane that does as it is told, and a clock that is moved. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as References from "effect/References"
import type { SqlError } from "effect/sql/SqlError"
import { type Batch, type Lane, loop, type Ran } from "../../src/lanes/Lane.ts"
import { Store } from "../../src/store/Store.ts"
import { layerMemory } from "../../src/store/memory/index.ts"
import { Wakeup } from "../../src/Wakeup.ts"

export const done: Batch = { rows: {}, full: false }
export const moved = (ready: number, full: boolean, ...wake: ReadonlyArray<string>): Batch => ({
  rows: { ready },
  full,
  wake
})

/** A lane of one second that users wait for. */
export const laneOf = (
  body: Effect.Effect<Batch, SqlError, Store>,
  differs: Partial<Omit<Lane, "body">> = {}
): Lane => ({
  name: "test lane",
  class: "user-visible",
  interval: Duration.seconds(1),
  batch: 10,
  budget: Duration.millis(500),
  ...differs,
  body: () => body
})

/** Remembers which queues were woken. */
export const wakes = Effect.map(Ref.make<ReadonlyArray<string>>([]), (woken) => ({
  woken: Ref.get(woken),
  wakeup: Wakeup.of({
    poke: (queues) => Ref.update(woken, (before) => [...before, ...queues]),
    pokeHere: (queues) => Ref.update(woken, (before) => [...before, ...queues]),
    pokeBeat: Effect.void,
    pokes: Effect.die("nobody listens here")
  })
}))

/** The instants, in milliseconds, at which the body began, for as long as the clock is moved. */
export const instants = Effect.map(Ref.make<ReadonlyArray<number>>([]), (seen) => ({
  seen: Ref.get(seen),
  now: Effect.flatMap(Clock.currentTimeMillis, (now) => Ref.update(seen, (before) => [...before, now]))
}))

/** Runs the lane's loop beside the test. */
export const looping = Effect.fnUntraced(function* (lane: Lane) {
  const stopping = yield* Deferred.make<void>()
  const ran = yield* Ref.make<ReadonlyArray<Ran>>([])
  const onRun = (run: Ran) => Ref.update(ran, (before) => [...before, run])
  const fiber = yield* Effect.forkScoped(loop(lane, { stopping, onRun }))
  return { fiber, ran: Ref.get(ran), stop: Deferred.succeed(stopping, undefined) }
})

/** Timers without jitter. */
export const steady = Layer.succeed(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 })

/** The log as short lines. */
export class Lines {
  readonly lines: Array<string> = []
  readonly layer = Layer.merge(
    Logger.layer([
      Logger.make(({ logLevel, message }) => {
        const [sentence] = Array.isArray(message) ? message : [message]
        this.lines.push(`${logLevel}: ${String(sentence)}`)
      })
    ]),
    Layer.succeed(References.MinimumLogLevel, "Info")
  )
}

export const ground = Layer.merge(Layer.fresh(layerMemory), Wakeup.layerLocal)
