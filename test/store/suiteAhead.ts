import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ClaimOptions, WorkerId } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, hours, nothingMoved, retried } from "./suiteWorld.ts"

const kinds = ["mail"]
const few = { limit: 10, crashBudget: 1 }

/** What a worker claims before it can run it, and the jobs it must not run beside each other. */
export const ahead = (test: Test): void => {
  test("claims ahead what is left beyond the limit, in leases of their own [LK-F4]", ({ enqueue, register, store }) =>
    Effect.gen(function* () {
      const worker = yield* register
      const ids = yield* enqueue({}, {}, {}, {}, {})
      const claim = { worker, kinds, queues: [{ queue: "post", limit: 2, ahead: 2 }] }
      const { found, jobs } = yield* store.claim(claim)
      assert.strictEqual(found, "full")
      assert.deepStrictEqual(
        jobs.map(({ begun, id }) => [id, begun]),
        [
          [ids[0], true],
          [ids[1], true],
          [ids[2], false],
          [ids[3], false]
        ]
      )
      assert.deepStrictEqual([jobs[0]!.lease, jobs[2]!.lease], [jobs[1]!.lease, jobs[3]!.lease])
      assert.isBelow(Number(jobs[0]!.lease), Number(jobs[2]!.lease))
      const rest = yield* store.claim(claim)
      assert.strictEqual(rest.found, "short")
      assert.deepStrictEqual(
        rest.jobs.map(({ begun, id }) => [id, begun]),
        [[ids[4], true]]
      )
      assert.deepStrictEqual((yield* store.beat(worker)).leases, [jobs[0]!.lease, jobs[2]!.lease, rest.jobs[0]!.lease])
    }))

  test("claims ahead alone, for a worker that has no room to begin", ({ enqueue, isAt, register, store }) =>
    Effect.gen(function* () {
      const worker = yield* register
      const ids = yield* enqueue({}, { priority: 1 })
      const queues = [{ queue: "post", limit: 0, ahead: 1 }]
      const { found, jobs } = yield* store.claim({ worker, kinds, queues })
      assert.strictEqual(found, "full")
      assert.deepStrictEqual(
        jobs.map(({ begun, id }) => [id, begun]),
        [[ids[1], false]]
      )
      yield* isAt("running", ids[1]!)
      assert.strictEqual((yield* store.claim({ worker, kinds, queues: [{ queue: "post", limit: 0 }] })).found, "empty")
    }))

  test("claims ahead some of the jobs of a call whose numbers have gaps", ({ enqueue, register, store }) =>
    Effect.gen(function* () {
      const worker = yield* register
      const ids = yield* enqueue({}, { queue: "bulk" }, {}, { queue: "bulk" }, {}, {})
      for (const [limit, taken] of [
        [0, [0]],
        [1, [2, 4]]
      ] as const) {
        const { jobs } = yield* store.claim({ worker, kinds, queues: [{ queue: "post", limit, ahead: 1 }] })
        assert.deepStrictEqual(
          jobs.map(({ begun, id }) => [id, begun]),
          taken.map((index, at) => [ids[index], at < limit])
        )
      }
    }))

  const heldAhead = Effect.fnUntraced(function* (world: Parameters<Parameters<Test>[1]>[0]) {
    const { enqueue, register, store } = world
    const worker = yield* register
    yield* enqueue({ deadline: hours(1) }, { deadline: hours(1) })
    const { jobs } = yield* store.claim({ worker, kinds, queues: [{ queue: "post", limit: 1, ahead: 1 }] })
    return { worker, now: jobs[0]!, later: jobs[1]! }
  })

  test("charges no crash to what was only held when its worker vanished [LK-C2]", (world) =>
    Effect.gen(function* () {
      const { declareDead, finish, store, told } = world
      const { later, now, worker } = yield* heldAhead(world)
      yield* declareDead(worker)
      assert.strictEqual((yield* store.rescueWorker(worker, few)).ready, 2)
      assert.deepStrictEqual([yield* told(now.id), yield* told(later.id)], [["1 rescued"], ["1 released"]])
      assert.deepInclude(yield* world.show(now.id), { crashes: 1 })
      assert.deepInclude(yield* world.show(later.id), { crashes: 0 })
      assert.strictEqual(yield* finish(worker, later, completed), "refused")
      const { jobs } = yield* world.claim(yield* world.register)
      assert.deepStrictEqual(
        jobs.map(({ attempt, crashes, id }) => [id, attempt, crashes]),
        [
          [now.id, 2, 1],
          [later.id, 2, 0]
        ]
      )
    }))

  test("kills nothing that was only held, whatever budget it has spent [LK-C2]", ({ declareDead, store, ...world }) =>
    Effect.gen(function* () {
      const { id, worker } = yield* world.running()
      yield* declareDead(worker)
      yield* store.rescueWorker(worker, { limit: 10, crashBudget: 3 })
      const next = yield* world.register
      const { jobs } = yield* store.claim({ worker: next, kinds, queues: [{ queue: "post", limit: 0, ahead: 1 }] })
      assert.deepInclude(jobs[0], { id, crashes: 1, begun: false })
      yield* declareDead(next)
      assert.deepInclude(yield* store.rescueWorker(next, { limit: 10, crashBudget: 0 }), { ready: 1, dead: 0 })
      assert.deepInclude(yield* world.show(id), { place: "ready", crashes: 1 })
    }))

  test("lets the hard deadline run from when an attempt begins [LK-C4]", (world) =>
    Effect.gen(function* () {
      const { elapse, show, store } = world
      const { later, now, worker } = yield* heldAhead(world)
      assert.deepStrictEqual([later.deadline, now.deadline], [Option.some(hours(1)), Option.some(hours(1))])
      assert.deepStrictEqual((yield* show(later.id)).due, Option.none())
      yield* elapse(hours(2))
      assert.deepInclude(yield* store.rescueOverdue(few), { ready: 1, dead: 0 })
      assert.deepInclude(yield* show(now.id), { place: "ready", crashes: 1 })
      assert.deepInclude(yield* show(later.id), { place: "running", crashes: 0 })

      assert.deepStrictEqual(yield* store.begin(worker, [later.lease]), [later.lease])
      assert.deepStrictEqual(yield* store.rescueOverdue(few), nothingMoved)
      const due = (yield* show(later.id)).due
      yield* elapse(hours(0.5))
      assert.deepStrictEqual(yield* store.begin(worker, [later.lease]), [later.lease])
      const still = Option.map((yield* show(later.id)).due, DateTime.toEpochMillis)
      assert.isAtMost(Option.getOrThrow(still), DateTime.toEpochMillis(Option.getOrThrow(due)))
      yield* elapse(hours(1))
      assert.deepInclude(yield* store.rescueOverdue(few), { ready: 1 })
      assert.deepInclude(yield* show(later.id), { place: "ready", crashes: 1 })
    }))

  test("begins what is still its worker's, and charges it from then on [LK-C2] [LK-C8]", (world) =>
    Effect.gen(function* () {
      const { declareDead, finish, register, show, store } = world
      const { later, now, worker } = yield* heldAhead(world)
      const other = yield* register
      assert.deepStrictEqual(yield* store.begin(other, [later.lease]), [])
      assert.deepStrictEqual(yield* store.begin(worker, []), [])
      assert.deepStrictEqual(yield* store.begin(worker, [later.lease, now.lease]), [now.lease, later.lease])
      yield* finish(worker, now, completed)
      assert.deepStrictEqual(yield* store.begin(worker, [now.lease, later.lease]), [later.lease])
      yield* declareDead(worker)
      assert.deepStrictEqual(yield* store.begin(worker, [later.lease]), [])
      yield* store.rescueWorker(worker, few)
      assert.deepInclude(yield* show(later.id), { place: "ready", crashes: 1 })
      assert.deepStrictEqual(yield* store.begin(9_999n as WorkerId, [later.lease]), [])
    }))

  test("releases what a worker gives back before it began, and ends what it says", (world) =>
    Effect.gen(function* () {
      const { finish, store, told } = world
      const { later, now, worker } = yield* heldAhead(world)
      assert.strictEqual(yield* finish(worker, now, retried(hours(0))), "accepted")
      assert.deepInclude(yield* store.release(worker, [later.lease]), { ready: 1 })
      assert.deepStrictEqual(yield* told(later.id), ["1 released"])
    }))

  test("takes as many jobs on the brink as there is room for, and passes the others over [LK-C2]", (world) =>
    Effect.gen(function* () {
      const { declareDead, enqueue, register, store } = world
      const vanishing = yield* register
      const brink = yield* enqueue({}, {}, {}, { priority: 4 })
      yield* world.claim(vanishing)
      yield* declareDead(vanishing)
      yield* store.rescueWorker(vanishing, { limit: 10, crashBudget: 3 })
      const [urgent, ...others] = [brink[3]!, brink[0]!, brink[1]!, brink[2]!]
      const fresh = yield* enqueue({}, {}, {})
      const worker = yield* register
      const claim = (options: Partial<ClaimOptions>) =>
        Effect.map(
          store.claim({ worker, kinds, queues: [{ queue: "post", limit: 2 }], ...options }),
          ({ found, jobs }) => [found, ...jobs.map(({ id }) => id)]
        )
      assert.deepStrictEqual(yield* claim({ brink: { from: 1, room: 1 } }), ["full", urgent, fresh[0]])
      assert.deepStrictEqual(yield* claim({ brink: { from: 1, room: 0 } }), ["full", fresh[1], fresh[2]])
      assert.deepStrictEqual(yield* claim({ brink: { from: 1, room: 0 } }), ["empty"])
      assert.deepStrictEqual(yield* claim({ brink: { from: 1, room: 1 } }), ["short", others[0]])
      assert.deepStrictEqual(yield* claim({ brink: { from: 2, room: 0 } }), ["full", others[1], others[2]])
    }))

  test("counts the room for the brink over all queues of a claim", ({ declareDead, enqueue, register, store }) =>
    Effect.gen(function* () {
      const vanishing = yield* register
      const queues = ["a", "b"].map((queue) => ({ queue, limit: 0, ahead: 5 }))
      const ids = yield* enqueue({ queue: "a" }, { queue: "b" }, { queue: "b" })
      const { jobs } = yield* store.claim({ worker: vanishing, kinds, queues })
      yield* store.begin(
        vanishing,
        jobs.map(({ lease }) => lease)
      )
      yield* declareDead(vanishing)
      yield* store.rescueWorker(vanishing, { limit: 10, crashBudget: 3 })
      const fresh = yield* enqueue({ queue: "b" })
      const found = yield* store.claim({ worker: yield* register, kinds, queues, brink: { from: 1, room: 1 } })
      assert.deepStrictEqual(
        found.jobs.map(({ id }) => id),
        [ids[0], fresh[0]]
      )
    }))

  test("names the kinds that wait in these queues for somebody else [LK-F6]", ({ enqueue, store, claim, register }) =>
    Effect.gen(function* () {
      const unhandled = (kinds: ReadonlyArray<string>, ...queues: ReadonlyArray<string>) =>
        Effect.map(store.unhandled({ kinds, queues }), (found) => found.map(({ kind, queue }) => `${queue}: ${kind}`))
      assert.deepStrictEqual(yield* unhandled(["mail"], "post"), [])
      yield* enqueue({ kind: "fax" }, { kind: "fax" }, { kind: "zeta", queue: "bulk" }, { kind: "mail" })
      yield* enqueue({ kind: "telex", priority: 0 }, { kind: "later", runIn: hours(1) }, { kind: "fax", queue: "bulk" })
      assert.deepStrictEqual(yield* unhandled(["mail"], "post"), ["post: fax", "post: telex"])
      assert.deepStrictEqual(yield* unhandled(["mail", "fax", "nothing"], "post", "bulk"), [
        "bulk: zeta",
        "post: telex"
      ])
      assert.deepStrictEqual(yield* unhandled([], "bulk", "post", "bulk"), [
        "bulk: fax",
        "bulk: zeta",
        "post: fax",
        "post: mail",
        "post: telex"
      ])
      assert.deepStrictEqual(yield* unhandled([]), [])
      yield* claim(yield* register)
      assert.deepStrictEqual(yield* unhandled([], "post"), ["post: fax", "post: telex"])
      yield* enqueue(...Array.from({ length: 120 }, (_, n) => ({ kind: `kind ${n}`, queue: "many" })))
      assert.lengthOf(yield* unhandled(["kind 5"], "many"), 100)
    }))
}
