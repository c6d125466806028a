/** What meets a table that is written anew: nobody finds it empty, and nothing in it is lost. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type JobId, slotOf } from "../../../src/domain/Job.ts"
import type { Claimed, WorkerId } from "../../../src/store/Store.ts"
import { completed, hours, retried } from "../suiteWorld.ts"
import { Interleavings, meetings } from "./interleavings.ts"
import type { Caller, Move } from "./interleavingsSide.ts"
import {
  after,
  beats,
  begins,
  cancels,
  claims,
  emptiesSlot,
  enqueuesUnique,
  expires,
  finishes,
  postpones,
  promotes,
  reconciles,
  releases,
  rescues,
  resumes,
  rewrites,
  runsNow,
  together
} from "./interleavingsMoves.ts"

/** Two jobs that one worker runs under one lease, while the leases are written anew. */
const leased = (
  move: (worker: WorkerId, claimed: ReadonlyArray<Claimed>, caller: Caller) => Effect.Effect<Move, any>
) =>
  Effect.fnUntraced(function* (caller: Caller) {
    yield* caller.enqueue({}, {})
    const worker = yield* caller.register
    const { jobs } = yield* caller.claim(worker)
    return [rewrites("lease"), yield* move(worker, jobs, caller)]
  })

/** A job whose time has come, while the times are written anew. */
const scheduled = (move: (id: JobId) => Move) =>
  Effect.fnUntraced(function* ({ elapse, enqueue }: Caller) {
    const [id] = yield* enqueue({ runIn: hours(1) })
    yield* elapse(hours(2))
    return [rewrites("timed"), move(id!)]
  })

const waits = (...moves: ReadonlyArray<Move>) =>
  Effect.fnUntraced(function* ({ elapse, waiting }: Caller) {
    yield* waiting("token", "cancel")
    yield* elapse(hours(3))
    return [rewrites("wait"), ...moves]
  })

/** A key whose job is scheduled. */
const keyed = (table: string, ...moves: ReadonlyArray<Move>) =>
  Effect.fnUntraced(function* (caller: Caller) {
    yield* enqueuesUnique("keep", { runIn: hours(1) })(caller)
    return [rewrites(table), ...moves]
  })

/** Whichever comes first: who comes second waits, and the one who writes anew does not wait long. */
const either = (table: string, answer: string, told: string) =>
  ["emptied", "busy"].map((found) => `finds ${table} ${found}; ${answer} → ${told}`)

/** The same where either may vanish, which leaves what was before it. */
const eitherOrNone = (table: string, answer: string, told: string, before: string) => [
  ...either(table, answer, told),
  ...either(table, "vanished", before),
  `vanished; ${answer} → ${told}`
]

const impatient = [0]

layer(Interleavings.layer, { excludeTestServices: true })("Every order of", (it) => {
  const meet = meetings(it)

  meet("leases written anew and a claim [LK-D1]", {
    over: ["lease", "ticket"],
    impatient,
    vanishing: [0, 1],
    switches: 2,
    scene: Effect.fnUntraced(function* ({ enqueue, running, store }) {
      yield* running()
      yield* enqueue({})
      return [rewrites("lease"), claims(yield* store.register("b"), 1)]
    }),
    ends: eitherOrNone("lease", "claims 1, full", "1 running by runner, 2 running by b", "1 running by runner, 2 ready")
  })
  meet("leases written anew and outcomes: they are accepted [LK-D1] [LK-G1]", {
    over: ["lease", "attempt_end"],
    impatient,
    switches: 2,
    vanishing: [0, 1],
    scene: leased((worker, jobs) => Effect.succeed(finishes(worker, jobs, completed))),
    ends: eitherOrNone(
      "lease",
      "is accepted and accepted",
      "1 completed completed, 2 completed completed",
      "1 running by worker, 2 running by worker"
    )
  })
  meet("leases written anew and outcomes that lead to another attempt [LK-D1] [LK-G1]", {
    over: ["lease", "attempt_end", "timed"],
    impatient,
    switches: 3,
    scene: leased((worker, jobs) => Effect.succeed(finishes(worker, jobs, retried(hours(1))))),
    ends: either("lease", "is accepted and accepted", "1 failed scheduled, 2 failed scheduled")
  })
  meet("leases written anew and outcomes in a handler's own transaction [LK-D1] [LK-G2]", {
    over: ["lease", "attempt_end"],
    impatient,
    switches: 3,
    scene: leased((worker, [one, two]) =>
      Effect.succeed(together(finishes(worker, [one!], completed), finishes(worker, [two!], completed)))
    ),
    ends: either("lease", "is accepted and is accepted", "1 completed completed, 2 completed completed")
  })
  meet("leases written anew and a beat: none is missing in it [LK-D1]", {
    over: ["lease", "worker"],
    impatient,
    scene: leased((worker) => Effect.succeed(beats(worker))),
    ends: either("lease", "beats with 1", "1 running by worker, 2 running by worker")
  })
  meet("leases written anew and a begin of what was claimed ahead [LK-D1]", {
    over: ["lease"],
    impatient,
    scene: Effect.fnUntraced(function* (caller: Caller) {
      yield* caller.enqueue({}, {})
      const worker = yield* caller.register
      const { jobs } = yield* caller.store.claim({
        worker,
        kinds: ["mail"],
        queues: [{ queue: "post", limit: 0, ahead: 2 }]
      })
      return [rewrites("lease"), begins(worker, jobs[0]!.lease)]
    }),
    ends: either("lease", "begins 1", "1 running by worker, 2 running by worker")
  })
  meet("leases written anew and a cancel of what runs: it is marked [LK-D1]", {
    over: ["lease", "ticket"],
    impatient,
    switches: 2,
    scene: leased((_, [one]) => Effect.succeed(cancels(one!.id))),
    ends: either("lease", "finds it running", "1 running by worker until cancelled, 2 running by worker")
  })
  meet("leases written anew and a release [LK-D1]", {
    over: ["lease", "attempt_end"],
    impatient,
    switches: 3,
    scene: leased((worker, [one]) => Effect.succeed(releases(worker, one!.lease))),
    ends: either("lease", "moves 2 ready", "1 released ready, 2 released ready")
  })
  meet("leases written anew and a rescue [LK-D1] [LK-B4]", {
    over: ["lease", "attempt_end"],
    impatient,
    switches: 3,
    scene: leased((worker, _, caller) => Effect.as(caller.declareDead(worker), rescues(worker))),
    ends: either("lease", "moves 2 ready", "1 rescued ready, 2 rescued ready")
  })
  meet("leases written anew and a slot that something runs from: it stays [LK-D1]", {
    over: ["lease", "job", "attempt_end"],
    impatient,
    scene: Effect.fnUntraced(function* (caller: Caller) {
      const { id } = yield* caller.running()
      return [rewrites("lease"), emptiesSlot(slotOf(id))]
    }),
    ends: ["finds lease emptied; finds the slot used → 1 running by runner"]
  })
  meet("leases and times written anew and a walk for damage: none is found [LK-D1] [LK-D7]", {
    over: ["lease", "timed", "attempt_end"],
    impatient,
    switches: 1,
    scene: Effect.fnUntraced(function* (caller: Caller) {
      yield* caller.running()
      yield* caller.enqueue({ runIn: hours(1) })
      yield* caller.sql`UPDATE lanekeeper.survey SET step = 0, after = 0`
      return [after(rewrites("lease"), rewrites("timed")), reconciles]
    }),
    ends: ["emptied", "busy"].flatMap((lease) =>
      ["emptied", "busy"].map(
        (timed) => `finds lease ${lease} and finds timed ${timed}; repairs 0 → 1 running by runner, 2 scheduled`
      )
    )
  })
  meet("leases written anew by two [LK-B4]", {
    over: ["lease"],
    impatient: [0, 1],
    scene: leased(() => Effect.succeed(rewrites("lease"))),
    ends: [
      "finds lease emptied; finds lease emptied → 1 running by worker, 2 running by worker",
      "finds lease emptied; finds lease busy → 1 running by worker, 2 running by worker",
      "finds lease busy; finds lease emptied → 1 running by worker, 2 running by worker"
    ]
  })

  meet("times written anew and a promotion [LK-D1] [LK-C1]", {
    over: ["timed", "ticket"],
    impatient,
    vanishing: [0, 1],
    scene: scheduled(() => promotes),
    ends: eitherOrNone("timed", "moves 1 ready", "1 ready", "1 scheduled")
  })
  meet("times written anew and a cancel [LK-D1]", {
    over: ["timed", "ticket"],
    impatient,
    switches: 3,
    scene: scheduled(cancels),
    ends: either("timed", "moves it", "1 cancelled cancelled")
  })
  meet("times written anew and a run now [LK-D1]", {
    over: ["timed"],
    impatient,
    scene: scheduled(runsNow),
    ends: either("timed", "moves it", "1 ready")
  })
  meet("times written anew and a postponement [LK-D1]", {
    over: ["timed"],
    impatient,
    scene: scheduled(postpones),
    ends: either("timed", "moves it", "1 scheduled")
  })
  meet("times written anew and the next job under a key: the one that is scheduled is seen [LK-D1] [LK-E5]", {
    over: ["timed", "unique_key"],
    impatient,
    switches: 3,
    scene: keyed("timed", enqueuesUnique("keep")),
    ends: ["finds timed emptied; is kept → 1 scheduled"]
  })
  meet("times written anew and a debounce: the job is put off [LK-D1] [LK-E5]", {
    over: ["timed", "unique_key"],
    impatient,
    switches: 2,
    scene: keyed("timed", enqueuesUnique("debounce", { runIn: hours(2) })),
    ends: either("timed", "is debounced", "1 scheduled")
  })

  meet("waits written anew and the end of a wait's time [LK-D1]", {
    over: ["wait"],
    impatient,
    scene: waits(expires),
    ends: either("wait", "moves 1 cancelled", "1 parked expired cancelled")
  })
  meet("waits written anew and a resumption [LK-D1]", {
    over: ["wait"],
    impatient,
    switches: 3,
    scene: waits(resumes("token")),
    ends: either("wait", "moves it", "1 parked resumed ready")
  })
})
