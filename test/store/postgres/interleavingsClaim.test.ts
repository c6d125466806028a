/** What meets a claim. */
import { layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { released } from "../suiteWorld.ts"
import { Interleavings, meetings } from "./interleavings.ts"
import {
  cancels,
  claims,
  declaresDead,
  enqueues,
  forgets,
  pauses,
  reassigns,
  rescues,
  setsAside,
  together,
  after
} from "./interleavingsMoves.ts"

layer(Interleavings.layer, { excludeTestServices: true })("Every order of a claim and", (it) => {
  const meet = meetings(it)

  meet("another claim: each job goes to one of them [LK-F4]", {
    over: ["ticket"],
    switches: 3,
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({})
      yield* enqueue({})
      return [claims(yield* store.register("a"), 1), claims(yield* store.register("b"), 1)]
    }),
    ends: [
      "claims 1, full; claims 1, full → 1 running by a, 2 running by b",
      "claims 1, full; claims 1, full → 1 running by b, 2 running by a"
    ]
  })

  meet("another claim of the same ticket: it is split, and nothing of it is taken twice [LK-F4] [LK-P2]", {
    over: ["ticket"],
    vanishing: [1],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({}, {}, {})
      return [claims(yield* store.register("a"), 1), claims(yield* store.register("b"), 2)]
    }),
    ends: [
      "claims 1, full; claims 2, full → 1 running by a, 2 running by b, 3 running by b",
      "claims 1, full; vanished → 1 running by a, 2 ready, 3 ready",
      "claims 1, full; claims 0, contended → 1 running by a, 2 ready, 3 ready",
      "claims 0, contended; claims 2, full → 1 running by b, 2 running by b, 3 ready",
      "claims 1, full; claims 2, full → 1 running by b, 2 running by b, 3 running by a",
      "claims 0, contended; vanished → 1 ready, 2 ready, 3 ready"
    ]
  })

  meet("another claim of a ticket that is not the last: who finds less in it goes on to the next [LK-F4]", {
    over: ["ticket"],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({}, {}, {})
      yield* enqueue({}, {})
      return [claims(yield* store.register("a"), 1), claims(yield* store.register("b"), 3)]
    }),
    ends: [
      "claims 1, full; claims 3, full → 1 running by a, 2 running by b, 3 running by b, 4 running by b, 5 ready",
      "claims 1, full; claims 3, full → 1 running by b, 2 running by b, 3 running by b, 4 running by a, 5 ready",
      "claims 1, full; claims 2, contended → 1 running by a, 2 ready, 3 ready, 4 running by b, 5 running by b"
    ]
  })

  meet("a cancel of one of a ticket's jobs: it is cancelled, or running and marked", {
    over: ["ticket", "lease"],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      const [, id] = yield* enqueue({}, {}, {})
      return [claims(yield* store.register("a"), 2), cancels(id!)]
    }),
    ends: [
      "claims 2, full; finds it running → 1 running by a, 2 running by a until cancelled, 3 ready",
      "claims 0, contended; moves it → 1 ready, 2 cancelled cancelled, 3 ready",
      "claims 2, full; moves it → 1 running by a, 2 cancelled cancelled, 3 running by a"
    ]
  })

  meet("a cancel of a job that is ready again: it is cancelled, or running and marked", {
    over: ["ticket", "lease"],
    scene: Effect.fnUntraced(function* ({ running, store }) {
      const { end, id } = yield* running()
      yield* end(released)
      return [claims(yield* store.register("a"), 2), cancels(id)]
    }),
    ends: [
      "claims 1, short; finds it running → 1 released running by a until cancelled",
      "claims 0, contended; moves it → 1 released cancelled cancelled",
      "claims 0, empty; moves it → 1 released cancelled cancelled"
    ]
  })

  meet("a job set aside: it is dead, or running", {
    over: ["ticket"],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      const [id] = yield* enqueue({}, {})
      return [claims(yield* store.register("a"), 1), setsAside(id!)]
    }),
    ends: [
      "claims 1, full; finds it running → 1 running by a, 2 ready",
      "claims 0, contended; moves it → 1 set aside dead, 2 ready",
      "claims 1, full; moves it → 1 set aside dead, 2 running by a"
    ]
  })

  meet("a change of one of a ticket's priorities: it is claimed once, under either", {
    over: ["ticket"],
    vanishing: [1],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      const [id] = yield* enqueue({}, {})
      return [claims(yield* store.register("a"), 10), reassigns(id!, 9)]
    }),
    ends: [
      "claims 2, short; finds it running → 1 running by a, 2 running by a",
      "claims 2, short; vanished → 1 running by a, 2 running by a",
      "claims 0, contended; moves it → 1 ready, 2 ready",
      "claims 2, short; moves it → 1 running by a, 2 running by a",
      "claims 1, contended; moves it → 1 running by a, 2 ready",
      "claims 0, contended; vanished → 1 ready, 2 ready"
    ]
  })

  meet("a change of priority of a job that is ready again: it is claimed once, under either", {
    over: ["ticket"],
    scene: Effect.fnUntraced(function* ({ running, store }) {
      const { end, id } = yield* running()
      yield* end(released)
      return [claims(yield* store.register("a"), 10), reassigns(id, 1)]
    }),
    ends: [
      "claims 1, short; finds it running → 1 released running by a",
      "claims 0, contended; moves it → 1 released ready",
      "claims 1, short; moves it → 1 released running by a"
    ]
  })

  meet("a pause: after it nothing is taken, before it everything", {
    over: ["queue", "ticket"],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({})
      return [claims(yield* store.register("a"), 1), pauses]
    }),
    ends: ["claims 1, full; pauses → 1 running by a", "claims 0, empty; pauses → 1 ready"]
  })

  meet("its worker declared dead and rescued: nothing it claimed is lost [LK-C8]", {
    over: ["worker", "lease"],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({})
      const worker = yield* store.register("a")
      return [claims(worker, 1), after(declaresDead(worker), rescues(worker))]
    }),
    ends: [
      "claims 1, full; declares it dead and moves 1 ready → 1 rescued ready",
      "claims 1, full; declares it dead and moves none → 1 running by a",
      "claims 0, empty; declares it dead and moves none → 1 ready"
    ]
  })

  meet("its worker forgotten: what is claimed after that is left in nobody's name", {
    over: ["worker", "lease"],
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      yield* enqueue({})
      const worker = yield* store.register("a")
      return [claims(worker, 1), forgets(worker)]
    }),
    ends: [
      "claims 1, full; keeps it → 1 running by a",
      "claims 1, full; forgets it → 1 running by nobody",
      "claims 0, empty; forgets it → 1 ready"
    ]
  })

  meet("an enqueue in a long transaction: found once committed, nothing when rolled back [LK-E1] [LK-F3]", {
    over: ["ticket"],
    vanishing: [0],
    scene: Effect.fnUntraced(function* ({ store }) {
      const worker = yield* store.register("b")
      return [together(enqueues({}, {})), after(claims(worker, 1), claims(worker, 1))]
    }),
    ends: [
      "enqueues 2; claims 1, full and claims 1, full → 1 running by b, 2 running by b",
      "vanished; claims 0, empty and claims 0, empty → nothing",
      "enqueues 2; claims 0, empty and claims 1, full → 1 running by b, 2 ready",
      "enqueues 2; claims 0, empty and claims 0, empty → 1 ready, 2 ready"
    ]
  })

  meet("another claim and a cancel, all of one ticket", {
    over: ["ticket"],
    switches: 1,
    scene: Effect.fnUntraced(function* ({ enqueue, store }) {
      const [, id] = yield* enqueue({}, {}, {})
      return [claims(yield* store.register("a"), 1), claims(yield* store.register("b"), 2), cancels(id!)]
    }),
    ends: [
      "claims 1, full; claims 2, full; finds it running → 1 running by a, 2 running by b until cancelled, 3 running by b",
      "claims 1, full; claims 1, short; moves it → 1 running by a, 2 cancelled cancelled, 3 running by b",
      "claims 1, full; claims 0, contended; moves it → 1 running by a, 2 cancelled cancelled, 3 ready",
      "claims 1, full; claims 2, full; finds it running → 1 running by b, 2 running by b until cancelled, 3 running by a",
      "claims 0, contended; claims 2, full; moves it → 1 running by b, 2 cancelled cancelled, 3 running by b",
      "claims 0, contended; claims 2, full; finds it running → 1 running by b, 2 running by b until cancelled, 3 ready",
      "claims 0, empty; claims 2, full; moves it → 1 running by b, 2 cancelled cancelled, 3 running by b",
      "claims 0, contended; claims 0, contended; moves it → 1 ready, 2 cancelled cancelled, 3 ready"
    ]
  })
})
