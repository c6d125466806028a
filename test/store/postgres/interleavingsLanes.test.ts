/** What meets a lane, and what meets the moves of one job. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type JobId, slotOf } from "../../../src/domain/Job.ts"
import { died, hours } from "../suiteWorld.ts"
import { Interleavings, meetings } from "./interleavings.ts"
import type { Caller, Move } from "./interleavingsSide.ts"
import {
  cancels,
  claims,
  clearsAttic,
  emptiesShelf,
  emptiesSlot,
  enqueues,
  enqueuesUnique,
  evacuates,
  expires,
  lifts,
  postpones,
  promotes,
  purges,
  reassigns,
  reconciles,
  redrives,
  rescues,
  resumes,
  runsNow,
  together
} from "./interleavingsMoves.ts"

/** Two jobs whose time has come, and what a pass and somebody who wants the first do. */
const due = (move: (id: JobId) => Move) =>
  Effect.fnUntraced(function* ({ elapse, enqueue }: Caller) {
    const [id] = yield* enqueue({ runIn: hours(1) }, { runIn: hours(1) })
    yield* elapse(hours(2))
    return [promotes, move(id!)]
  })

layer(Interleavings.layer, { excludeTestServices: true })("Every order of", (it) => {
  const meet = meetings(it)

  meet("two promotions: each job is moved once [LK-C1] [LK-B4]", {
    over: ["timed"],
    vanishing: [0],
    scene: due(() => promotes),
    ends: [
      "moves 2 ready; moves none → 1 ready, 2 ready",
      "vanished; moves 2 ready → 1 ready, 2 ready",
      "vanished; moves none → 1 scheduled, 2 scheduled",
      "moves none; moves 2 ready → 1 ready, 2 ready"
    ]
  })
  meet("a promotion and a cancel: the job is cancelled, and counted by one of them", {
    over: ["timed", "ticket"],
    vanishing: [0, 1],
    scene: due(cancels),
    ends: [
      "moves 2 ready; moves it → 1 cancelled cancelled, 2 ready",
      "moves 2 ready; vanished → 1 ready, 2 ready",
      "vanished; moves it → 1 cancelled cancelled, 2 scheduled",
      "moves 1 ready; moves it → 1 cancelled cancelled, 2 ready",
      "moves 1 ready; vanished → 1 scheduled, 2 ready"
    ]
  })
  meet("a promotion and a run now: the job is ready once", {
    over: ["timed", "ticket"],
    scene: due(runsNow),
    ends: ["moves 2 ready; finds it ready → 1 ready, 2 ready", "moves 1 ready; moves it → 1 ready, 2 ready"]
  })
  meet("a promotion and a postponement: the job is moved by one of them", {
    over: ["timed", "ticket"],
    scene: due(postpones),
    ends: ["moves 2 ready; finds it ready → 1 ready, 2 ready", "moves 1 ready; moves it → 1 scheduled, 2 ready"]
  })
  meet("a resumption and the end of its time: the wait ends once", {
    over: ["wait"],
    vanishing: [0, 1],
    scene: Effect.fnUntraced(function* ({ elapse, waiting }) {
      yield* waiting("token", "cancel")
      yield* elapse(hours(3))
      return [resumes("token"), expires]
    }),
    ends: [
      "moves it; moves none → 1 parked resumed ready",
      "moves it; vanished → 1 parked resumed ready",
      "vanished; moves 1 cancelled → 1 parked expired cancelled",
      "vanished; moves none → 1 parked waiting",
      "finds no job; moves 1 cancelled → 1 parked expired cancelled"
    ]
  })
  meet("two resumptions of one wait: one of them ends it", {
    over: ["wait"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ waiting }) {
      yield* waiting("token")
      return [resumes("token"), resumes("token", { _tag: "Completed" })]
    }),
    ends: [
      "moves it; finds no job → 1 parked resumed ready",
      "vanished; moves it → 1 parked completed completed",
      "finds no job; moves it → 1 parked completed completed"
    ]
  })
  meet("two ends of the time of one wait: its job dies once [LK-B4]", {
    over: ["wait"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ elapse, waiting }) {
      yield* waiting("token")
      yield* elapse(hours(3))
      return [expires, expires]
    }),
    ends: [
      "moves 1 dead; moves none → 1 parked expired dead",
      "vanished; moves 1 dead → 1 parked expired dead",
      "vanished; moves none → 1 parked waiting",
      "moves none; moves 1 dead → 1 parked expired dead"
    ]
  })
  meet("a redrive and a purge: one of them has the job", {
    over: ["dead"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ dead }) {
      const id = yield* dead()
      return [redrives(id), purges(id)]
    }),
    ends: [
      "moves it; finds none to purge → 1 died ready",
      "vanished; purges it → 1 died purged",
      "finds no job; purges it → 1 died purged"
    ]
  })
  meet("two redrives: the job is ready once [LK-P2]", {
    over: ["dead", "attempt_end", "job"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ dead }) {
      const id = yield* dead()
      return [redrives(id), redrives(id)]
    }),
    ends: [
      "moves it; finds it ready → 1 died ready",
      "vanished; moves it → 1 died ready",
      "finds it ready; moves it → 1 died ready"
    ]
  })
  meet("a redrive and an enqueue under its key: one of them is not over [LK-E5]", {
    over: ["unique_key", "dead"],
    vanishing: [0, 1],
    scene: Effect.fnUntraced(function* (caller) {
      yield* enqueuesUnique("keep")(caller)
      const [first] = yield* caller.store.page({ place: "ready", limit: 1 })
      yield* caller.store.setAside(first!.id, "odd")
      return [redrives(first!.id), enqueuesUnique("keep")]
    }),
    ends: [
      "moves it; is kept → 1 set aside ready",
      "moves it; vanished → 1 set aside ready",
      "vanished; is enqueued → 1 set aside dead, 2 ready",
      "finds it dead; is enqueued → 1 set aside dead, 2 ready"
    ]
  })
  meet("a redrive and the attic cleared of what died there: the job is ready, with its body [LK-P2]", {
    over: ["dead", "attempt_end", "job"],
    vanishing: [0, 1],
    scene: Effect.fnUntraced(function* ({ claim, dead, finish, store }) {
      const id = yield* dead()
      yield* store.redrive(id)
      const worker = yield* store.register("again")
      const [claimed] = (yield* claim(worker)).jobs
      yield* finish(worker, claimed!, died)
      return [redrives(id), clearsAttic]
    }),
    ends: [
      "moves it; clears 0 → 1 died died ready",
      "moves it; vanished → 1 died died ready",
      "vanished; clears 1 → 1 died died dead",
      "vanished; clears 0 → 1 died died dead",
      "moves it; clears 1 → 1 died died ready"
    ]
  })

  meet("two cancels of one job: one of them cancels it", {
    over: ["ticket"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ enqueue }) {
      const [id] = yield* enqueue({}, {})
      return [cancels(id!), cancels(id!)]
    }),
    ends: [
      "moves it; finds it cancelled → 1 cancelled cancelled, 2 ready",
      "vanished; moves it → 1 cancelled cancelled, 2 ready",
      "finds it cancelled; moves it → 1 cancelled cancelled, 2 ready"
    ]
  })
  meet("a cancel and a change of priority", {
    over: ["ticket"],
    vanishing: [1],
    scene: Effect.fnUntraced(function* ({ enqueue }) {
      const [id] = yield* enqueue({}, {})
      return [cancels(id!), reassigns(id!, 9)]
    }),
    ends: [
      "moves it; finds it cancelled → 1 cancelled cancelled, 2 ready",
      "moves it; vanished → 1 cancelled cancelled, 2 ready",
      "moves it; moves it → 1 cancelled cancelled, 2 ready"
    ]
  })

  meet("copies to the attic and a claim: the job is taken where it stands [LK-D2]", {
    over: ["ticket", "job"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      const [id] = yield* enqueue({}, {})
      return [evacuates(slotOf(id!)), claims(yield* store.register("b"), 1)]
    }),
    ends: [
      "copies 2; claims 1, full → 1 running by b, 2 ready",
      "vanished; claims 1, full → 1 running by b, 2 ready",
      "copies 2; claims 0, contended → 1 ready, 2 ready",
      "vanished; claims 0, contended → 1 ready, 2 ready",
      "copies 0; claims 1, full → 1 running by b, 2 ready",
      "copies 1; claims 1, full → 1 running by b, 2 ready"
    ]
  })
  meet("copies to the attic and a cancel: the job is cancelled where it stands [LK-D2]", {
    over: ["ticket", "job"],
    switches: 3,
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ enqueue }) {
      const [id] = yield* enqueue({}, {})
      return [evacuates(slotOf(id!)), cancels(id!)]
    }),
    ends: [
      "copies 2; moves it → 1 cancelled cancelled, 2 ready",
      "vanished; moves it → 1 cancelled cancelled, 2 ready",
      "copies 0; moves it → 1 cancelled cancelled, 2 ready",
      "copies 1; moves it → 1 cancelled cancelled, 2 ready"
    ]
  })
  meet("copies to the attic and a promotion", {
    over: ["timed", "job"],
    scene: Effect.fnUntraced(function* ({ elapse, enqueue }) {
      const [id] = yield* enqueue({ runIn: hours(1) })
      yield* elapse(hours(2))
      return [evacuates(slotOf(id!)), promotes]
    }),
    ends: [
      "copies 1; moves 1 ready → 1 ready",
      "copies 1; moves none → 1 scheduled",
      "copies 0; moves 1 ready → 1 ready"
    ]
  })
  meet("a slot emptied and a rescue of what runs from it: the slot stays [LK-D1]", {
    over: ["lease", "attempt_end", "job"],
    switches: 2,
    scene: Effect.fnUntraced(function* ({ declareDead, running }) {
      const { id, worker } = yield* running()
      yield* declareDead(worker)
      return [emptiesSlot(slotOf(id)), rescues(worker)]
    }),
    ends: ["finds the slot used; moves 1 ready → 1 rescued ready"]
  })
  meet("a slot emptied and an enqueue in an open transaction: what is enqueued stays [LK-D1] [LK-E1]", {
    over: ["job", "attempt_end", "ticket"],
    vanishing: [1],
    scene: Effect.fnUntraced(function* ({ enqueue, sql, store }) {
      const [id] = yield* enqueue({})
      yield* store.cancel(id!, "enough")
      yield* sql`UPDATE lanekeeper.attempt_end SET ended_at = ended_at - interval '2 days'`
      return [emptiesSlot(slotOf(id!)), together(enqueues({}))]
    }),
    ends: [
      "finds the slot emptied; enqueues 1 → 1 ready",
      "finds the slot emptied; vanished → nothing",
      "finds the slot busy; enqueues 1 → 1 cancelled cancelled, 2 ready",
      "finds the slot used; enqueues 1 → 1 cancelled cancelled, 2 ready",
      "finds the slot busy; vanished → 1 cancelled cancelled"
    ]
  })
  meet("a shelf emptied and a claim from it [LK-D1]", {
    over: ["ticket"],
    impatient: [0],
    scene: Effect.fnUntraced(function* ({ enqueue, sql, store }) {
      yield* enqueue({})
      const [row] = yield* sql<{ shelf: number }>`SELECT shelf FROM lanekeeper.ticket`
      return [emptiesShelf(row!.shelf), claims(yield* store.register("b"), 1)]
    }),
    ends: [
      "finds the shelf used; claims 1, full → 1 running by b",
      "finds the shelf emptied; claims 1, full → 1 running by b"
    ]
  })

  meet("a lift and a claim: the job keeps its one ticket, and is claimed or found the next time [LK-D5]", {
    over: ["ticket"],
    scene: Effect.fnUntraced(function* ({ elapse, enqueue, register }) {
      const worker = yield* register
      yield* enqueue({ priority: 9 })
      yield* enqueue({ priority: 0 })
      yield* elapse(hours(1))
      return [claims(worker, 10), lifts]
    }),
    ends: [
      "claims 2, short; lifts 0 → 1 running by worker, 2 running by worker",
      "claims 2, short; lifts 1 → 1 running by worker, 2 running by worker",
      "claims 1, contended; lifts 1 → 1 ready, 2 running by worker"
    ]
  })
  meet("a lift and a cancel: the job is cancelled [LK-D5]", {
    over: ["ticket"],
    scene: Effect.fnUntraced(function* ({ elapse, enqueue }) {
      const [low] = yield* enqueue({ priority: 9 })
      yield* enqueue({ priority: 0 })
      yield* elapse(hours(1))
      return [cancels(low!), lifts]
    }),
    ends: ["moves it; lifts 0 → 1 cancelled cancelled, 2 ready", "moves it; lifts 1 → 1 cancelled cancelled, 2 ready"]
  })
  meet("two who repair one job: it is made ready once [LK-D7]", {
    over: ["ticket", "attempt_end", "row"],
    scene: Effect.fnUntraced(function* ({ enqueue, sql }) {
      yield* enqueue({})
      yield* sql`DELETE FROM lanekeeper.ticket`
      yield* sql`UPDATE lanekeeper.survey SET step = 0, after = 0`
      return [reconciles, reconciles]
    }),
    switches: 2,
    ends: ["repairs 1; repairs 0 → 1 repaired ready", "repairs 0; repairs 1 → 1 repaired ready"]
  })
})
