/** What meets the begin of an attempt that was claimed ahead. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { completed, hours } from "../suiteWorld.ts"
import { Interleavings, meetings } from "./interleavings.ts"
import {
  after,
  begins,
  cancels,
  claimsAhead,
  declaresDead,
  finishes,
  releases,
  rescues,
  rescuesOverdue
} from "./interleavingsMoves.ts"
import type { Caller } from "./interleavingsSide.ts"

/** Two jobs that a worker called `a` has claimed ahead, under one lease. */
const twoAhead = Effect.fnUntraced(function* ({ enqueue, store }: Caller) {
  yield* enqueue({ deadline: hours(1) }, { deadline: hours(1) })
  const worker = yield* store.register("a")
  const queues = [{ queue: "post", limit: 0, ahead: 2 }]
  const { jobs } = yield* store.claim({ worker, kinds: ["mail"], queues })
  return { worker, jobs, id: jobs[0]!.id, lease: jobs[0]!.lease }
})

layer(Interleavings.layer, { excludeTestServices: true })("Every order of a begin and", (it) => {
  const meet = meetings(it)

  meet("its worker declared dead and rescued: what has begun is charged, what has not is not [LK-C2]", {
    over: ["attempt_end", "lease", "worker"],
    vanishing: [0, 1],
    scene: Effect.fnUntraced(function* (world) {
      const { lease, worker } = yield* twoAhead(world)
      return [begins(worker, lease), after(declaresDead(worker), rescues(worker))]
    }),
    switches: 2,
    ends: [
      "begins 1; declares it dead and moves 2 ready → 1 rescued ready, 2 rescued ready",
      "begins 1; declares it dead and moves none → 1 running by a, 2 running by a",
      "begins 0; declares it dead and moves 2 ready → 1 released ready, 2 released ready",
      "begins 1; vanished → 1 running by a, 2 running by a",
      "begins 0; vanished → 1 running by a, 2 running by a",
      "vanished; declares it dead and moves 2 ready → 1 released ready, 2 released ready",
      "vanished; declares it dead and moves none → 1 running by a, 2 running by a"
    ]
  })

  meet("a rescue of deadlines: it waits for no attempt that has not begun [LK-C4]", {
    over: ["attempt_end", "lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { lease, worker } = yield* twoAhead(world)
      return [begins(worker, lease), rescuesOverdue]
    }),
    ends: ["begins 1; moves none → 1 running by a, 2 running by a"]
  })

  meet("a release of its lease: each attempt ends once", {
    over: ["attempt_end", "lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { lease, worker } = yield* twoAhead(world)
      return [begins(worker, lease), releases(worker, lease)]
    }),
    ends: [
      "begins 1; moves 2 ready → 1 released ready, 2 released ready",
      "begins 0; moves 2 ready → 1 released ready, 2 released ready"
    ]
  })

  meet("a completion of the same attempts: they are over, whether they were seen to begin or not", {
    over: ["attempt_end", "lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { jobs, lease, worker } = yield* twoAhead(world)
      return [begins(worker, lease), finishes(worker, jobs, completed)]
    }),
    ends: [
      "begins 1; is accepted and accepted → 1 completed completed, 2 completed completed",
      "begins 0; is accepted and accepted → 1 completed completed, 2 completed completed"
    ]
  })

  meet("a cancel of one of its jobs: its worker hears of it", {
    over: ["lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { id, lease, worker } = yield* twoAhead(world)
      return [begins(worker, lease), cancels(id)]
    }),
    ends: ["begins 1; finds it running → 1 running by a until cancelled, 2 running by a"]
  })

  meet("a begin again, because the answer was lost", {
    over: ["lease"],
    scene: Effect.fnUntraced(function* (world) {
      const { lease, worker } = yield* twoAhead(world)
      return [begins(worker, lease), begins(worker, lease)]
    }),
    ends: ["begins 1; begins 1 → 1 running by a, 2 running by a"]
  })
})

layer(Interleavings.layer, { excludeTestServices: true })("Every order of a claim ahead and", (it) => {
  const meet = meetings(it)

  meet("another of the same ticket: nothing of it is taken twice [LK-F4] [LK-P2]", {
    over: ["ticket"],
    vanishing: [1],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({}, {}, {})
      return [claimsAhead(yield* store.register("a"), 1, 1), claimsAhead(yield* store.register("b"), 0, 1)]
    }),
    ends: [
      "claims 2, 1 ahead, full; claims 1, 1 ahead, full → 1 running by a, 2 running by a, 3 running by b",
      "claims 2, 1 ahead, full; vanished → 1 running by a, 2 running by a, 3 ready",
      "claims 2, 1 ahead, full; claims 0, 0 ahead, contended → 1 running by a, 2 running by a, 3 ready",
      "claims 0, 0 ahead, contended; claims 1, 1 ahead, full → 1 running by b, 2 ready, 3 ready",
      "claims 2, 1 ahead, full; claims 1, 1 ahead, full → 1 running by b, 2 running by a, 3 running by a",
      "claims 0, 0 ahead, contended; vanished → 1 ready, 2 ready, 3 ready"
    ]
  })
})
