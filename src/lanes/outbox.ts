/** Gives events their positions, delivers them where the application wants them, and forgets old ones. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Event } from "../domain/Event.ts"
import { Sink } from "../Events.ts"
import { Store } from "../store/Store.ts"
import { reasonOf } from "../texts.ts"
import { counted, type Lane, SuppliedFailed } from "./Lane.ts"

const tend = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { deliver, keep } = yield* Sink
  const tended = yield* store.tendEvents({ limit, keep, sink: Option.isSome(deliver) })
  const { forgotten, numbered } = tended
  return { ...tended, rows: counted({ numbered, forgotten }), full: numbered === limit || forgotten === limit }
})

const body = Effect.fnUntraced(function* (limit: number) {
  const store = yield* Store
  const { deliver, stuckAfter } = yield* Sink
  const { full, rows, undelivered } = yield* tend(limit)
  if (Option.isNone(deliver) || !undelivered) return { rows, full }
  const events = yield* store.takeEvents({ limit, stuckAfter })
  if (events.length === 0) return { rows, full }
  const { delivered, fault, refused, untried } = yield* offer(events, deliver.value)
  if (delivered.length > 0) yield* store.eventsDelivered(delivered.map(({ id }) => id))
  if (fault !== undefined) {
    yield* store.eventsRefused({ refused: refused.map(({ id }) => id), untried: untried.map(({ id }) => id) })
    return yield* new SuppliedFailed({ what: "The sink of events", reason: fault })
  }
  return { rows: counted({ ...rows, delivered: delivered.length }), full: full || events.length === limit }
})

const enough = 3 // refused one after another, a sink is down; an event that it cannot take comes alone

/** All at once, or else one by one: an event that the sink refuses does not keep the others. */
const offer = Effect.fnUntraced(function* (
  events: ReadonlyArray<Event>,
  deliver: (events: ReadonlyArray<Event>) => Effect.Effect<unknown, unknown>
) {
  const attempt = (some: ReadonlyArray<Event>) =>
    Effect.suspend(() => deliver(some)).pipe(
      Effect.matchCauseEffect({
        onSuccess: () => Effect.undefined,
        onFailure: (cause) => (Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.succeed(reasonOf(cause)))
      })
    )
  const delivered: Array<Event> = []
  const refused: Array<Event> = []
  const untried: Array<Event> = []
  let fault: string | undefined = yield* attempt(events)
  if (fault === undefined) return { delivered: events, refused, untried, fault }
  if (events.length === 1) return { delivered, refused: events, untried, fault }

  let inARow = 0
  fault = undefined
  for (const event of events) {
    if (inARow === enough) {
      untried.push(event)
      continue
    }
    const reason = yield* attempt([event])
    inARow = reason === undefined ? 0 : inARow + 1
    const where = reason === undefined ? delivered : refused
    where.push(event)
    fault = reason ?? fault
  }
  return { delivered, refused, untried, fault }
})

export const outbox: Lane = {
  name: "outbox",
  class: "hygiene",
  interval: Duration.seconds(1),
  batch: 256, // what a sink takes in one call
  budget: Duration.seconds(10),
  body,
  lag: ({ untold }) => untold
}

/** At every start. A sink that is away must not keep a process from starting. */
export const outboxAtStart: Lane = {
  ...outbox,
  body: (limit) => Effect.map(tend(limit), ({ full, rows }) => ({ rows, full }))
}
