/**
 * Measures the store: every move by its result and duration, and what readers can tell of the whole at any moment.
 * Off unless it is provided, and then in front of the store that everything else is given.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { isMaintained, lastRun } from "./maintained.ts"
import { places } from "./domain/Job.ts"
import { type ConnectionBudget, forLooking, StoreConnections } from "./StoreConnections.ts"
import { Store } from "./store/Store.ts"
import { type PieceState, smallTables } from "./store/Upkeep.ts"

const moves = Metric.counter("lanekeeper.store.moves", {
  description: "Calls of the store, by move and result",
  incremental: true
})
const took = Metric.timer("lanekeeper.store.duration", { description: "How long a call of the store took" })

const poolWaits = Metric.counter("lanekeeper.pool.waits", {
  description: "Calls of the store that found every connection of their pool at work, by pool",
  incremental: true
})

/** What joins what the caller does in a transaction is no call of its own. */
const untouched: ReadonlyArray<string> = ["atomically", "afterCommit"] satisfies ReadonlyArray<keyof Store["Service"]>

const spanned: ReadonlyArray<string> = ["claim", "begin", "finish"] satisfies ReadonlyArray<keyof Store["Service"]>

const resultOf = (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isFailure(exit)) return "failed"
  const value: unknown = exit.value
  if (typeof value !== "object" || value === null || !("moved" in value)) return "done"
  return value.moved === true ? "moved" : "stood"
}

const measure = (move: string, call: Effect.Effect<unknown, unknown>) => {
  const measured = Effect.flatMap(Effect.timed(Effect.exit(call)), ([duration, exit]) =>
    Effect.andThen(
      Effect.andThen(
        Metric.update(Metric.withAttributes(moves, { move, result: resultOf(exit) }), 1),
        Metric.update(Metric.withAttributes(took, { move }), duration)
      ),
      exit
    )
  )
  return spanned.includes(move) ? Effect.withSpan(measured, `lanekeeper.${move}`) : measured
}

type Wrap = (move: string, call: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>

const over = (store: Store["Service"], wrap: Wrap): Store["Service"] =>
  Object.fromEntries(
    Object.entries(store).map(([move, member]: [string, unknown]) => {
      if (untouched.includes(move)) return [move, member]
      if (Effect.isEffect(member)) return [move, wrap(move, member as Effect.Effect<unknown, unknown>)]
      const call = member as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>
      return [move, (...args: ReadonlyArray<unknown>) => wrap(move, call(...args))]
    })
  ) as unknown as Store["Service"]

/** The same store, measured. */
export const measured = (store: Store["Service"]): Store["Service"] => over(store, measure)

/** Counts calls that find every connection at work. */
const waiting = ({ connections, name }: ConnectionBudget): Wrap => {
  let working = 0
  const waits = Metric.withAttributes(poolWaits, { pool: name })
  return (_, call) =>
    Effect.suspend(() => {
      const waited = working++ < connections ? Effect.void : Metric.update(waits, 1)
      return Effect.ensuring(
        Effect.andThen(waited, call),
        Effect.sync(() => working--)
      )
    })
}

/** In front of a store and of the stores it opens on connections of their own. */
export const layerMeasured = Layer.merge(
  Layer.effect(Store, Effect.map(Store, measured)),
  Layer.effect(
    StoreConnections,
    Effect.map(StoreConnections, (connections) => ({
      ...connections,
      open: (budget) => Effect.map(connections.open(budget), (store) => over(measured(store), waiting(budget)))
    }))
  )
)

const gauge = (name: string, description: string) => Metric.gauge(`lanekeeper.${name}`, { description })

const depth = gauge("queue.depth", "Jobs by queue and place, as the leader counted them last")
const oldest = gauge("queue.oldest", "Milliseconds for which the job that waits longest has been ready")
const term = gauge("leader.term", "The last term")
const leading = gauge("leader.leading", "Milliseconds for which somebody has led; 0 while nobody does")
const missing = gauge("maintenance.missing", "1 while no maintenance runs anywhere")
const maintained = gauge("maintenance.age", "Milliseconds since any lane ran, wherever that was")
const laneAge = gauge("lane.age", "Milliseconds since the last run of a lane began, wherever that was")
const laneFailures = gauge("lane.failures", "Failed runs of a lane in a row, wherever that was")
const bytes = gauge("storage.bytes", "Bytes of bodies, ends and tickets, by piece")
const pieces = gauge(
  "storage.pieces",
  "Pieces of storage by state: current, kept from being emptied, alive, over, empty"
)
const kept = gauge("storage.kept", "Pieces of storage that could not be emptied when they were looked at last")

const states = ["current", "kept", "alive", "over", "empty"] as const

/** As the last look found it: what has not been looked at yet is taken for alive. */
const stateOf = ({ bytes, current, looked }: PieceState): (typeof states)[number] => {
  if (current) return "current"
  if (bytes === 0) return "empty"
  if (Option.isNone(looked)) return "alive"
  const { alive, rows, why } = looked.value
  return Option.isSome(why) ? "kept" : alive > 0 ? "alive" : rows > 0 ? "over" : "empty"
}

const set = (metric: Metric.Gauge<number>, value: number, labels: Readonly<Record<string, string>> = {}) =>
  Metric.update(Metric.withAttributes(metric, labels), value)

/** Reads what anybody can tell of the whole, whatever its own role. A queue that is gone has depth 0 from then on. */
export const makeObserver = Effect.map(Effect.context<Store | StoreConnections>(), (context) => {
  const known = new Set<string>()
  return Effect.gen(function* () {
    const store = yield* Effect.provideContext(forLooking, context)
    const stats = yield* store.stats
    const queues = Option.match(stats, { onNone: () => [], onSome: (stats) => stats.queues })
    for (const queue of known) {
      if (queues.some((one) => one.queue === queue)) continue
      for (const place of places) yield* set(depth, 0, { queue, place })
      yield* set(oldest, 0, { queue })
      known.delete(queue)
    }
    for (const one of queues) {
      known.add(one.queue)
      for (const [place, jobs] of Object.entries(one.depth)) yield* set(depth, jobs, { queue: one.queue, place })
      yield* set(oldest, Option.match(one.oldest, { onNone: () => 0, onSome: Duration.toMillis }), { queue: one.queue })
    }
    const leader = yield* store.leader
    yield* set(term, Number(leader.term))
    yield* set(leading, Option.isSome(leader.holder) ? Duration.toMillis(leader.leading) : 0)
    const runs = yield* store.laneRuns
    yield* set(missing, isMaintained(runs) ? 0 : 1)
    const last = lastRun(runs)
    if (Option.isSome(last)) yield* set(maintained, Duration.toMillis(last.value))
    for (const { age, failures, lane } of runs) {
      yield* set(laneAge, Duration.toMillis(age), { lane })
      yield* set(laneFailures, failures, { lane })
    }
    const storage = yield* store.storage
    for (const kind of ["slot", "shelf", "attic", ...smallTables] as const) {
      const own = storage.filter(({ piece }) => piece === kind)
      for (const state of states) {
        yield* set(pieces, own.filter((piece) => stateOf(piece) === state).length, { piece: kind, state })
      }
      const sum = own.reduce((total, piece) => total + piece.bytes, 0)
      yield* set(bytes, sum, { piece: kind })
      yield* set(kept, own.filter(({ looked }) => Option.exists(looked, ({ why }) => Option.isSome(why))).length, {
        piece: kind
      })
    }
  })
})
