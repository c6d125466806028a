/** What a worker notices and says: jobs here that nobody here handles, and handlers that keep others from running. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Claimed, Store } from "../store/Store.ts"

const look = "1 minute" // a kind that waits for a deploy waits for minutes

/** Jobs of kinds unknown here are left for others; each kind is told once. */
export const watchUnhandled = (
  store: Store["Service"],
  serves: { readonly kinds: ReadonlyArray<string>; readonly queues: ReadonlyArray<string> }
) => {
  const told = new Set<string>()
  return store.unhandled(serves).pipe(
    Effect.flatMap((found) => {
      const news = found.filter(({ kind }) => !told.has(kind))
      for (const { kind } of news) told.add(kind)
      if (news.length === 0) return Effect.void
      return Effect.logWarning("Jobs of kinds without a handler here are left for others", {
        kinds: [...new Set(news.map(({ kind }) => kind))],
        queues: [...new Set(news.map(({ queue }) => queue))]
      })
    }),
    Effect.ignore, // the next look says it
    Effect.repeat(Schedule.spaced(look))
  )
}

const tick = 500 // milliseconds
const blocked = 1_000 // milliseconds: a fifth of a heartbeat

/** A handler that computes without pause stops everything in its process, heartbeats too. */
export const watchEventLoop = Effect.fnUntraced(function* (running: () => ReadonlyArray<Claimed>) {
  const look = Effect.gen(function* () {
    const before = yield* Clock.currentTimeMillis
    const kinds = new Set(running().map(({ kind }) => kind))
    yield* Effect.sleep(tick)
    const late = (yield* Clock.currentTimeMillis) - before - tick
    if (late < blocked) return
    yield* Effect.logWarning("The event loop was blocked: nothing else ran meanwhile, and no heartbeat was sent", {
      for: Duration.format(Duration.millis(late)),
      kinds: [...new Set([...kinds, ...running().map(({ kind }) => kind)])]
    })
  })
  return yield* Effect.forever(look)
})
