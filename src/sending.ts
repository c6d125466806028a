/**
 * Sends what several say within a moment together: the first of a burst at once, and what is said from then on when that
 * has been sent and as long again has passed. So sending takes half of one connection's time at most, however much is
 * said and however busy the server is.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

const longestRest = Duration.millis(5) // well under what a poll takes

/** Answers how to say something. What was said when the scope closes is sent then, for whoever says it last and ends. */
export const sending = Effect.fnUntraced(function* (send: (all: ReadonlyArray<string>) => Effect.Effect<void>) {
  const outstanding = new Set<string>()
  const some = yield* Latch.make()

  const sendAll = Effect.suspend(() => {
    const all = [...outstanding]
    outstanding.clear()
    return all.length === 0 ? Effect.void : send(all)
  })

  yield* some.await.pipe(
    Effect.andThen(some.close),
    Effect.andThen(Effect.timed(sendAll)),
    Effect.flatMap(([took]) => Effect.sleep(Duration.min(took, longestRest))),
    Effect.forever,
    Effect.forkScoped
  )
  yield* Effect.addFinalizer(() => Effect.timeoutOption(sendAll, "1 second"))

  return (said: Iterable<string>): void => {
    for (const one of said) outstanding.add(one)
    some.openUnsafe()
  }
})
