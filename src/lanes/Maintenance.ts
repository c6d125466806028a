/**
 * Runs the lanes for as long as this process leads: each on a fiber and timer of its own, each class on a connection of
 * its own, so that a slow body, a lock or an exhausted pool stays with its class; and promote apart even of its class.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Sink } from "../Events.ts"
import { LeaderElection } from "../LeaderElection.ts"
import { describe, Presence } from "../Presence.ts"
import { applicationName, Role } from "../Role.ts"
import * as Settings from "../Settings.ts"
import { type LaneRun, Store } from "../store/Store.ts"
import { StoreConnections } from "../StoreConnections.ts"
import { Wakeup } from "../Wakeup.ts"
import { configure, type Configured, type LaneOptions } from "./Configured.ts"
import { budgetOf, type Crew, crewsOf } from "./crews.ts"
import { type Lane, type LaneClass, loop, type Ran, totalOf } from "./Lane.ts"
import * as measure from "./measure.ts"
import { outbox } from "./outbox.ts"
import { Rescue } from "./Rescue.ts"

export interface LaneStatus {
  readonly name: string
  readonly class: LaneClass
  readonly lastRun: Option.Option<DateTime.Utc>
  readonly lastSuccess: Option.Option<DateTime.Utc>
  /** In a row. */
  readonly failures: number
}

export interface MaintenanceOptions extends LaneOptions {
  /** How long a lane may go on with its statement after it was told to stop. Defaults to 10 seconds. */
  readonly grace?: Duration.Input | undefined
}

const lentAfter = "1 second" // what the process's own client has open is closed by then: a leader has five in all

const keepRunsEvery = "5 seconds" // far more often than anybody looks, far less often than lanes run
const firstKept = "1 second" // whoever looks at a fleet that has just begun is told that it is maintained

export class Maintenance extends Context.Service<
  Maintenance,
  {
    /** Campaigns and runs the lanes until `stopping` is done; then ends when each has finished what it was at. */
    readonly run: (stopping: Deferred.Deferred<void>) => Effect.Effect<void>
    readonly lanes: Effect.Effect<ReadonlyArray<LaneStatus>>
    readonly configured: Configured
  }
>()("lanekeeper/lanes/Maintenance") {
  static readonly layer = (options: MaintenanceOptions = {}, role: Role = "maintenance") =>
    Layer.effect(this, make(options, role))
}

const make = Effect.fnUntraced(function* (options: MaintenanceOptions, role: Role) {
  const configured = yield* configure(options)
  const { crashBudget, lanes, staleAfter } = configured
  const grace = Duration.fromInputUnsafe(options.grace ?? Settings.grace.fallback.value)
  const election = yield* LeaderElection
  const stores = yield* StoreConnections
  const context = yield* Effect.context<Wakeup | Store>()
  const wakeup = Context.get(context, Wakeup)
  const own = Context.get(context, Store)
  const presence = new Presence(own, describe(role, lanes))
  const runs = new Map<string, Ran & { readonly startedAt: number; readonly succeededAt: number | undefined }>()
  let busy = false

  const onRun = (ran: Ran) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const startedAt = now - Duration.toMillis(ran.took)
      const succeededAt = ran.error === null ? now : runs.get(ran.lane)?.succeededAt
      runs.set(ran.lane, { ...ran, startedAt, succeededAt })
    })

  /** Tells the store how lanes ran since it was told last. */
  const makeKeeper = (told = new Map<string, number>()) =>
    Effect.gen(function* () {
      const store = yield* Store
      const now = yield* Clock.currentTimeMillis
      const news = [...runs.values()].filter(({ lane, startedAt }) => told.get(lane) !== startedAt)
      yield* store.recordRuns(news.map((run) => laneRun(run, now - run.startedAt)))
      for (const { lane, startedAt } of news) told.set(lane, startedAt)
      yield* measure.lags(lanes, yield* store.overdue, staleAfter)
    }).pipe(Effect.catchCause((cause) => Effect.logDebug("Lane runs were not kept", cause)))

  /** Wakes others on the connection of the crew: one more would be opened for it. */
  const wakingOn = (store: Store["Service"]): Wakeup["Service"] => ({
    ...wakeup,
    poke: (queues) =>
      Effect.suspend(() => {
        const poked = [...queues]
        return Effect.andThen(wakeup.pokeHere(poked), Effect.ignore(store.announce(poked)))
      })
  })

  /** All lanes of a crew. The last crew keeps what the store is told of all. */
  const runCrew = Effect.fnUntraced(function* (crew: Crew, stopping: Deferred.Deferred<void>) {
    const store = yield* Effect.orDie(stores.open(budgetOf(crew, yield* applicationName(crew.name))))
    const loops = Effect.forEach(crew.lanes, (lane) => loop(lane, { stopping, onRun }), {
      concurrency: "unbounded",
      discard: true
    })
    const keep = makeKeeper()
    const keeping = keep.pipe(
      Effect.delay(firstKept),
      Effect.andThen(keep.pipe(Effect.delay(keepRunsEvery), Effect.repeat(Schedule.forever)))
    )
    const untold = Effect.andThen(Effect.raceFirst(keeping, Deferred.await(stopping)), keep)
    const besides = crew.name === "hygiene" ? untold : Effect.void
    if (crew.name === "hygiene") yield* stores.lend(store, lentAfter)
    if (crew.name === "user-visible") presence.speakThrough(store)
    yield* Effect.all([loops, besides], { concurrency: 2 }).pipe(
      Effect.ensuring(Effect.sync(() => presence.speakThrough(own))),
      Effect.provideService(Store, store),
      Effect.provideService(Wakeup, wakingOn(store))
    )
  }, Effect.scoped)

  /**
   * Who has somewhere to deliver events to does so while another leads, for the leader may have nowhere. Whoever comes
   * second finds them taken.
   */
  const relaying = Effect.fnUntraced(function* (stopping: Deferred.Deferred<void>) {
    const { deliver } = yield* Sink
    if (Option.isNone(deliver)) return
    const following: Lane = {
      ...lanes.find(({ name }) => name === outbox.name)!,
      body: (batch) =>
        Effect.flatMap(election.term, (term) =>
          Option.isSome(term) ? Effect.succeed({ rows: {}, full: false }) : outbox.body(batch)
        )
    }
    // A sink has the grace that a lane's statement has.
    const patience = Effect.andThen(Deferred.await(stopping), Effect.sleep(grace))
    yield* Effect.raceFirst(loop(following, { stopping, onRun: () => Effect.void }), patience)
  }, Effect.provideContext(context))

  /** A worker has a row already, and beats for itself. */
  const attending = (stopping: Deferred.Deferred<void>) =>
    role === "maintenance" ? presence.keep(configured.heartbeat, stopping) : Effect.void

  const run = Effect.fn("Maintenance.run")(
    function* (stopping: Deferred.Deferred<void>) {
      const leading = Effect.forEach(crewsOf(lanes), (crew) => runCrew(crew, stopping), {
        concurrency: "unbounded",
        discard: true
      }).pipe(Effect.provideService(Rescue, { staleAfter, crashBudget }), Effect.provideContext(context), (all) =>
        Effect.ensuring(
          Effect.andThen(
            Effect.sync(() => (busy = true)),
            all
          ),
          Effect.sync(() => (busy = false))
        )
      )
      // A follower has nothing to finish.
      const patience = Effect.andThen(
        Deferred.await(stopping),
        Effect.suspend(() => (busy ? Effect.sleep(grace) : Effect.void))
      )
      const campaign = election.lead(leading).pipe(
        Effect.catchDefect((defect) => Effect.logError("Maintenance failed and begins again", defect)),
        Effect.repeat({ schedule: Schedule.spaced("1 second"), until: () => Deferred.isDoneUnsafe(stopping) })
      )
      yield* Effect.all([Effect.raceFirst(campaign, patience), relaying(stopping), attending(stopping)], {
        concurrency: 3,
        discard: true
      })
    },
    Effect.provideService(Role, role)
  )

  return Maintenance.of({
    run,
    configured,
    lanes: Effect.sync(() =>
      lanes.map((lane) => {
        const last = runs.get(lane.name)
        const time = (millis: number | undefined) =>
          Option.map(Option.fromUndefinedOr(millis), (at) => DateTime.makeUnsafe(at))
        return {
          name: lane.name,
          class: lane.class,
          lastRun: time(last?.startedAt),
          lastSuccess: time(last?.succeededAt),
          failures: last?.failures ?? 0
        }
      })
    )
  })
})

const laneRun = (ran: Ran, age: number): LaneRun => ({
  lane: ran.lane,
  age: Duration.millis(age),
  took: ran.took,
  rows: totalOf(ran.rows),
  failures: ran.failures,
  error: ran.error
})
