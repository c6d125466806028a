/** What meets the end of an attempt. */
import { layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { completed, died, hours, parked, released, retried } from "../suiteWorld.ts"
import { Interleavings, meetings } from "./interleavings.ts"
import type { Caller } from "./interleavingsSide.ts"
import {
  beats,
  cancels,
  declaresDead,
  finishes,
  releases,
  rescues,
  rescuesOverdue,
  together
} from "./interleavingsMoves.ts"

/** Longer than the ring takes to come round: what is due then lies in the attic. */
const farAway = Duration.days(300_000)

/** Two jobs under one lease of a worker called `a`, which is declared dead when asked for. */
const twoRunning = Effect.fnUntraced(function* ({ claim, declareDead, enqueue, store }: Caller, gone: boolean) {
  yield* enqueue({ deadline: hours(1) }, { deadline: hours(1) })
  const worker = yield* store.register("a")
  const { jobs } = yield* claim(worker)
  if (gone) yield* declareDead(worker)
  return { worker, jobs, first: jobs.slice(0, 1), id: jobs[0]!.id, lease: jobs[0]!.lease }
})

layer(Interleavings.layer, { excludeTestServices: true })("Every order of", (it) => {
  const meet = meetings(it)

  meet("a completion and a rescue: each attempt ends once, by one of them [LK-G1]", {
    over: ["attempt_end", "lease", "row"],
    scene: Effect.fnUntraced(function* (world) {
      const { jobs, worker } = yield* twoRunning(world, true)
      return [finishes(worker, jobs, completed), rescues(worker)]
    }),
    switches: 2,
    ends: [
      "is accepted and accepted; moves none → 1 completed completed, 2 completed completed",
      "is refused and refused; moves 2 ready → 1 rescued ready, 2 rescued ready"
    ]
  })

  meet("a completion and a rescue of jobs that lie in two slots: they end them in one order", {
    over: ["attempt_end", "row"],
    scene: Effect.fnUntraced(function* ({ claim, declareDead, enqueue, sql, store }) {
      yield* enqueue({})
      yield* enqueue({ runIn: farAway })
      yield* sql`UPDATE lanekeeper.timed SET run_at = statement_timestamp()`
      yield* store.promote({ limit: 1 })
      const worker = yield* store.register("a")
      const { jobs } = yield* claim(worker)
      yield* declareDead(worker)
      return [finishes(worker, jobs, completed), rescues(worker)]
    }),
    ends: [
      "is accepted and accepted; moves none → 1 completed completed, 2 completed completed",
      "is refused and refused; moves 2 ready → 1 rescued ready, 2 rescued ready"
    ]
  })

  meet("a completion in the handler's own transaction and a rescue: the attempt ends once [LK-G1] [LK-G2] [LK-P2]", {
    over: ["attempt_end", "lease"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* (world) {
      const { first, worker } = yield* twoRunning(world, true)
      return [together(finishes(worker, first, completed)), rescues(worker)]
    }),
    switches: 2,
    ends: [
      "is accepted; moves 1 ready → 1 completed completed, 2 rescued ready",
      "vanished; moves 2 ready → 1 rescued ready, 2 rescued ready",
      "is refused; moves 2 ready → 1 rescued ready, 2 rescued ready"
    ]
  })

  meet("a retry and a rescue: each attempt ends once, and goes on once [LK-G1] [LK-P2]", {
    over: ["attempt_end", "lease"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* (world) {
      const { first, worker } = yield* twoRunning(world, true)
      return [finishes(worker, first, retried(hours(1))), rescues(worker)]
    }),
    switches: 2,
    ends: [
      "is accepted; moves 1 ready → 1 failed scheduled, 2 rescued ready",
      "vanished; moves 2 ready → 1 rescued ready, 2 rescued ready",
      "is accepted; moves none → 1 failed scheduled, 2 running by a",
      "vanished; moves none → 1 running by a, 2 running by a",
      "is refused; moves 2 ready → 1 rescued ready, 2 rescued ready"
    ]
  })

  meet("an outcome sent twice: one is accepted, the other repeated [LK-G1]", {
    over: ["attempt_end", "lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { jobs, worker } = yield* twoRunning(world, false)
      return [finishes(worker, jobs, completed), finishes(worker, jobs.toReversed(), completed)]
    }),
    switches: 2,
    ends: [
      "is accepted and accepted; is repeated and repeated → 1 completed completed, 2 completed completed",
      "is repeated and repeated; is accepted and accepted → 1 completed completed, 2 completed completed"
    ]
  })

  meet("two outcomes of one attempt: one is accepted, the other refused [LK-G1]", {
    over: ["attempt_end"],
    vanishing: [0, 1],
    scene: Effect.fnUntraced(function* (world) {
      const { first, worker } = yield* twoRunning(world, false)
      return [finishes(worker, first, died), finishes(worker, first, released)]
    }),
    ends: [
      "is accepted; is refused → 1 died dead, 2 running by a",
      "is accepted; vanished → 1 died dead, 2 running by a",
      "vanished; is accepted → 1 released ready, 2 running by a",
      "is refused; is accepted → 1 released ready, 2 running by a"
    ]
  })

  meet("a retry and a cancel of its job: the cancel is never lost", {
    over: ["attempt_end", "lease", "timed"],
    scene: Effect.fnUntraced(function* (world) {
      const { first, id, worker } = yield* twoRunning(world, false)
      return [finishes(worker, first, retried(hours(1))), cancels(id)]
    }),
    switches: 2,
    ends: [
      "is accepted; moves it → 1 failed cancelled cancelled, 2 running by a",
      "is accepted; finds it running → 1 failed cancelled, 2 running by a",
      "is accepted; finds it cancelled → 1 failed cancelled, 2 running by a"
    ]
  })

  meet("a parking and a cancel of its job: the cancel is never lost", {
    over: ["attempt_end", "lease", "wait"],
    scene: Effect.fnUntraced(function* (world) {
      const { first, id, worker } = yield* twoRunning(world, false)
      return [finishes(worker, first, parked("token")), cancels(id)]
    }),
    switches: 2,
    ends: [
      "is accepted; moves it → 1 parked cancelled cancelled, 2 running by a",
      "is accepted; finds it running → 1 parked cancelled, 2 running by a",
      "is accepted; finds it cancelled → 1 parked cancelled, 2 running by a"
    ]
  })

  meet("two rescues of one worker: each attempt is rescued once [LK-B4]", {
    over: ["attempt_end", "lease"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* (world) {
      const { worker } = yield* twoRunning(world, true)
      return [rescues(worker), rescues(worker)]
    }),
    switches: 2,
    ends: [
      "moves 2 ready; moves none → 1 rescued ready, 2 rescued ready",
      "vanished; moves 2 ready → 1 rescued ready, 2 rescued ready",
      "vanished; moves none → 1 running by a, 2 running by a",
      "moves none; moves 2 ready → 1 rescued ready, 2 rescued ready"
    ]
  })

  meet("a rescue of a worker and one of its deadline: each attempt is rescued once [LK-B4]", {
    over: ["attempt_end", "lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { worker } = yield* twoRunning(world, true)
      yield* world.elapse(hours(2))
      return [rescues(worker), rescuesOverdue]
    }),
    switches: 2,
    ends: [
      "moves 2 ready; moves none → 1 rescued ready, 2 rescued ready",
      "moves none; moves 2 ready → 1 rescued ready, 2 rescued ready"
    ]
  })

  meet("a rescue and a release: each attempt ends once", {
    over: ["attempt_end", "lease"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* (world) {
      const { lease, worker } = yield* twoRunning(world, true)
      return [rescues(worker), releases(worker, lease)]
    }),
    switches: 2,
    ends: [
      "moves 2 ready; moves none → 1 rescued ready, 2 rescued ready",
      "vanished; moves 2 ready → 1 released ready, 2 released ready",
      "moves none; moves 2 ready → 1 released ready, 2 released ready"
    ]
  })

  meet("a completion and a release of its lease: each attempt ends once", {
    over: ["attempt_end", "lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { first, lease, worker } = yield* twoRunning(world, false)
      return [finishes(worker, first, completed), releases(worker, lease)]
    }),
    switches: 2,
    ends: [
      "is accepted; moves 1 ready → 1 completed completed, 2 released ready",
      "is refused; moves 2 ready → 1 released ready, 2 released ready"
    ]
  })

  meet("a beat and the verdict that its worker is dead: one of them counts [LK-C8]", {
    over: ["worker", "lease"],
    vanishing: [0, 1],
    scene: Effect.fnUntraced(function* (world) {
      const { worker } = yield* twoRunning(world, false)
      return [beats(worker), declaresDead(worker)]
    }),
    ends: [
      "beats with 1; lets it live → 1 running by a, 2 running by a",
      "beats with 1; vanished → 1 running by a, 2 running by a",
      "vanished; declares it dead → 1 running by a, 2 running by a",
      "is refused; declares it dead → 1 running by a, 2 running by a"
    ]
  })

  meet("a completion, a rescue and a cancel of one attempt", {
    over: ["attempt_end", "lease"],
    switches: 1,
    scene: Effect.fnUntraced(function* (world) {
      const { first, id, worker } = yield* twoRunning(world, true)
      return [finishes(worker, first, completed), rescues(worker), cancels(id)]
    }),
    ends: [
      "is accepted; moves 1 ready; finds it completed → 1 completed completed, 2 rescued ready",
      "is accepted; moves 1 ready; finds it running → 1 completed completed, 2 rescued ready",
      "is refused; moves 2 ready; moves it → 1 rescued cancelled cancelled, 2 rescued ready",
      "is refused; moves 1 ready, 1 cancelled; finds it running → 1 rescued cancelled, 2 rescued ready",
      "is accepted; moves none; finds it completed → 1 completed completed, 2 running by a",
      "is accepted; moves none; finds it running → 1 completed completed, 2 running by a",
      "is refused; moves 1 ready, 1 cancelled; finds it cancelled → 1 rescued cancelled, 2 rescued ready"
    ]
  })
})
