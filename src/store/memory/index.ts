/**
 * Keeps jobs in memory: the readable model of places, order and fences that every other store must agree with, and the
 * store of tests. Driven by Effect's clock, so that TestClock moves it. Nothing outlives the layer.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Store, UnderTerm } from "../Store.ts"
import { begin, claim, unhandled } from "./claim.ts"
import * as Contents from "./Contents.ts"
import { enqueue } from "./enqueue.ts"
import * as events from "./events.ts"
import { finish } from "./finish.ts"
import * as lanes from "./lanes.ts"
import * as leading from "./leading.ts"
import * as notes from "./notes.ts"
import * as reads from "./reads.ts"
import * as single from "./single.ts"
import { enqueueUnique } from "./unique.ts"
import * as upkeep from "./upkeep.ts"
import * as workers from "./workers.ts"

/** What runs when the open transaction commits. */
const AfterCommit = Context.Reference<Array<Effect.Effect<void>> | undefined>("lanekeeper/store/memory/AfterCommit", {
  defaultValue: () => undefined
})

/** The store over contents a test can look into. */
export const makeMemory = (contents: Contents.Contents): Store["Service"] => {
  /** One move is one synchronous step at one instant of the clock: nobody can come in between. */
  const at =
    <Args extends ReadonlyArray<unknown>, A>(
      move: (contents: Contents.Contents, now: Contents.Time, ...args: Args) => A
    ) =>
    (...args: Args): Effect.Effect<A> =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        contents.now = now
        return move(contents, now, ...args)
      })

  /** Undoes what failed by going back to how it was. Nobody else is held off meanwhile, as a database would. */
  const atomically = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const before = structuredClone(contents)
      const pending: Array<Effect.Effect<void>> = []
      return effect.pipe(
        Effect.provideService(AfterCommit, pending),
        Effect.onError(() => Effect.sync(() => Object.assign(contents, before, { numbers: contents.numbers }))),
        Effect.tap(() => Effect.forEach(pending, afterCommit, { discard: true }))
      )
    })

  const afterCommit = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.flatMap(AfterCommit, (pending) =>
      pending === undefined ? effect : Effect.sync(() => void pending.push(effect))
    )

  /** A move that a term which is over does not make. */
  const underTerm = <Args extends ReadonlyArray<unknown>, A>(
    otherwise: A,
    move: (contents: Contents.Contents, now: Contents.Time, ...args: Args) => A
  ) => {
    const moving = at(move)
    return (...args: Args): Effect.Effect<A> =>
      Effect.flatMap(UnderTerm, (term) =>
        Option.isNone(term) || term.value === contents.leader.term ? moving(...args) : Effect.succeed(otherwise)
      )
  }
  const nothing = Contents.tally().moved()

  return Store.of({
    enqueue: at(enqueue),
    enqueueUnique: at(enqueueUnique),
    atomically,
    afterCommit,
    claim: at(claim),
    begin: at(begin),
    unhandled: at(unhandled),
    finish: at(finish),
    remember: at(notes.remember),
    note: at(notes.note),
    recall: at(notes.recall),
    promote: underTerm(nothing, lanes.promote),
    rescueWorker: underTerm(nothing, lanes.rescueWorker),
    rescueOverdue: underTerm(nothing, lanes.rescueOverdue),
    expireWaits: underTerm(nothing, lanes.expireWaits),
    watch: underTerm([], workers.watch),
    release: at(lanes.release),
    resume: at(single.resume),
    cancel: at(single.cancel),
    setAside: at(single.setAside),
    runNow: at(single.runNow),
    postpone: at(single.postpone),
    reassign: at(single.reassign),
    redrive: at(single.redrive),
    purge: at(single.purge),
    pause: (queue) => Effect.sync(() => void contents.paused.add(queue)),
    unpause: (queue) => Effect.sync(() => void contents.paused.delete(queue)),
    pausedQueues: Effect.sync(() => [...contents.paused].toSorted()),
    register: at(workers.register),
    beat: at(workers.beat),
    workers: Effect.suspend(at(workers.workers)),
    processes: Effect.suspend(at(workers.processes)),
    declareDead: at(workers.declareDead),
    forget: at(workers.forget),
    leader: Effect.suspend(at(leading.leader)),
    takeLead: at(leading.takeLead),
    keepLead: at(leading.keepLead),
    resign: at(leading.resign),
    recordRuns: at(leading.recordRuns),
    laneRuns: Effect.suspend(at(leading.laneRuns)),
    overdue: Effect.suspend(at(lanes.overdue)),
    tendEvents: underTerm({ numbered: 0, forgotten: 0, undelivered: false }, events.tendEvents),
    takeEvents: underTerm([], events.takeEvents),
    eventsDelivered: at(events.eventsDelivered),
    eventsRefused: at(events.eventsRefused),
    events: at(events.events),
    reclaim: underTerm({ emptied: 0, rewritten: 0, evacuated: 0, cleared: 0, full: false }, upkeep.reclaim),
    storage: Effect.sync(upkeep.storage),
    retire: underTerm({ dead: 0, keys: 0, notes: 0 }, upkeep.retire),
    trimWorkers: underTerm(0, upkeep.trimWorkers),
    takeStats: Effect.suspend(underTerm(false, upkeep.takeStats)),
    stats: Effect.suspend(at(upkeep.stats)),
    lift: underTerm(0, upkeep.lift),
    reconcile: () => Effect.sync(upkeep.reconcile),
    findings: Effect.sync(upkeep.findings),
    readyQueues: Effect.suspend(at(upkeep.readyQueues)),
    announce: () => Effect.void,
    mendIndex: Effect.succeed([]),
    place: at(reads.place),
    show: at(reads.show),
    page: at(reads.page)
  })
}

export const layerMemory: Layer.Layer<Store> = Layer.sync(Store, () => makeMemory(Contents.make()))
