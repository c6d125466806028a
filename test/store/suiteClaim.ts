import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { WorkerId } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, hours, job, released } from "./suiteWorld.ts"

export const claims = (test: Test): void => {
  test("keeps a body as it was given, as JSON", ({ claim, enqueue, register, show }) =>
    Effect.gen(function* () {
      const payload = { to: "a@b.c", lines: [1, 2.5, null, { deep: true }], none: undefined }
      const stored = { to: "a@b.c", lines: [1, 2.5, null, { deep: true }] }
      const [id] = yield* enqueue({ payload, details: { tags: ["x"] } })
      payload.lines.push(4)
      const [claimed] = (yield* claim(yield* register)).jobs
      assert.deepStrictEqual(claimed!.payload, stored)
      assert.deepStrictEqual(claimed!.details, { tags: ["x"] })
      const view = yield* show(id!)
      assert.deepStrictEqual(view.payload, stored)
      assert.deepStrictEqual(view.details, { tags: ["x"] })
      assert.strictEqual(view.enqueuedAt.epochMilliseconds, claimed!.enqueuedAt)
      const [bare] = yield* enqueue({})
      assert.deepInclude(yield* show(bare!), { kind: "mail", queue: "post", priority: 5, payload: null, details: null })
    }))

  test("answers ids in the order given, and they grow", ({ enqueue, show, store }) =>
    Effect.gen(function* () {
      const kinds = ["b", "a", "b", "c"]
      const ids = yield* enqueue(...kinds.map((kind, index) => ({ kind, queue: `q${index % 2}` })))
      const views = yield* Effect.forEach(ids, show)
      assert.deepStrictEqual(
        views.map(({ kind }) => kind),
        kinds
      )
      const newest = yield* store.page({ place: "ready", limit: 10 })
      assert.deepStrictEqual(
        newest.map(({ id }) => id),
        ids.toReversed()
      )
      assert.deepStrictEqual(yield* store.enqueue([]), [])
    }))

  test("schedules a job with a time to come, and one whose time has come is ready at once", ({ enqueue, isAt, show }) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const runAt = DateTime.makeUnsafe(now + 3_600_000)
      const [past, zero, none, later, at] = yield* enqueue(
        { runAt: DateTime.makeUnsafe(now - 3_600_000) },
        { runIn: hours(0) },
        {},
        { runIn: hours(1) },
        { runAt }
      )
      yield* isAt("ready", past!, zero!, none!)
      yield* isAt("scheduled", later!, at!)
      assert.deepStrictEqual((yield* show(at!)).due, Option.some(runAt))
      assert.deepStrictEqual((yield* show(none!)).due, Option.none())
    }))

  test("claims by priority, then by age [LK-F4]", ({ claimedIds, enqueue, register }) =>
    Effect.gen(function* () {
      const worker = yield* register
      const [last, normal] = yield* enqueue({ priority: 9 }, { priority: 5 })
      const [first, normalToo] = yield* enqueue({ priority: 0 }, { priority: 5 })
      assert.deepStrictEqual(yield* claimedIds(worker, 3), [first, normal, normalToo])
      assert.deepStrictEqual(yield* claimedIds(worker), [last])
    }))

  test("claims the jobs of one call group by group, in the order each group appears", ({ enqueue, register, store }) =>
    Effect.gen(function* () {
      const [a, b, c, d, e] = yield* enqueue(
        { kind: "mail" },
        { kind: "page" },
        { kind: "mail" },
        { deadline: hours(1) },
        { kind: "page" }
      )
      const worker = yield* register
      const claim = { worker, kinds: ["page", "mail"], queues: [{ queue: "post", limit: 10 }] }
      assert.deepStrictEqual(
        (yield* store.claim(claim)).jobs.map(({ id }) => id),
        [a, c, b, e, d]
      )
    }))

  test("claims what is ready again before fresh jobs of its priority, in the order it came back [LK-F5]", (world) =>
    Effect.gen(function* () {
      const { claim, claimedIds, enqueue, finish, register } = world
      const worker = yield* register
      const [a, b, c] = yield* enqueue({}, {}, {})
      const urgent = yield* enqueue({ priority: 1 })
      const { jobs } = yield* claim(worker)
      assert.lengthOf(jobs, 4)
      const fresh = yield* enqueue({}, { priority: 4 })
      for (const id of [b, c, a, ...urgent])
        yield* finish(
          worker,
          jobs.find((job) => job.id === id)!,
          released
        )
      assert.deepStrictEqual(yield* claimedIds(worker), [...urgent, fresh[1], b, c, a, fresh[0]])
    }))

  test("claims from each queue what it asks for, in the order it asks", ({ enqueue, register, store }) =>
    Effect.gen(function* () {
      const ids = yield* enqueue({ queue: "a", priority: 0 }, { queue: "b", priority: 9 }, { queue: "b", priority: 9 })
      const claim = yield* store.claim({
        worker: yield* register,
        kinds: ["mail"],
        queues: ["b", "nobody's", "a"].map((queue) => ({ queue, limit: 1 }))
      })
      assert.deepStrictEqual(
        claim.jobs.map(({ id }) => id),
        [ids[1], ids[0]]
      )
    }))

  test("leaves jobs of kinds the worker does not know where they are, and not in the way [LK-F6]", (world) =>
    Effect.gen(function* () {
      const { claimedIds, enqueue, isAt, register } = world
      const unknown = yield* enqueue({ kind: "fax", priority: 0 }, { kind: "fax" })
      const known = yield* enqueue({}, {})
      assert.deepStrictEqual(yield* claimedIds(yield* register, 2), known)
      yield* isAt("ready", ...unknown)
    }))

  test("says whether a claim found all, some or none of what it asked for [LK-F4]", ({ claim, enqueue, register }) =>
    Effect.gen(function* () {
      const worker = yield* register
      yield* enqueue({}, {}, {})
      assert.strictEqual((yield* claim(worker, 2)).found, "full")
      assert.strictEqual((yield* claim(worker, 2)).found, "short")
      assert.strictEqual((yield* claim(worker, 2)).found, "empty")
    }))

  test("gives nothing to a worker that is unknown or was declared dead [LK-C8]", (world) =>
    Effect.gen(function* () {
      const { claim, declareDead, enqueue, isAt, register } = world
      const ids = yield* enqueue({})
      const worker = yield* register
      yield* declareDead(worker)
      assert.deepStrictEqual(yield* claim(worker), { jobs: [], found: "empty" })
      assert.deepStrictEqual(yield* claim(9_999n as WorkerId), { jobs: [], found: "empty" })
      yield* isAt("ready", ...ids)
    }))

  test("puts fresh jobs of one claim under one lease per queue, kind, priority and deadline, others under their own", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, register } = world
      const worker = yield* register
      yield* enqueue({}, {})
      for (const claimed of (yield* claim(worker)).jobs) yield* finish(worker, claimed, released)
      yield* enqueue({}, {}, { deadline: hours(1) })
      yield* enqueue({}, { priority: 6 })
      const leases = (yield* claim(worker)).jobs.map(({ lease }) => lease)
      const numbered = leases.map((lease) => [...new Set(leases)].indexOf(lease))
      assert.deepStrictEqual(numbered, [0, 1, 2, 2, 3, 2, 4])
      assert.deepStrictEqual([...new Set(leases)].toSorted(), [...new Set(leases)])
    }))

  test("counts every claim as an attempt, and holds it to the deadline of its kind", (world) =>
    Effect.gen(function* () {
      const { claim, elapse, finish, isAt, register, running, show } = world
      const { claimed, end, id } = yield* running({ deadline: hours(1) })
      assert.deepInclude(claimed, { attempt: 1, failures: 0, crashes: 0 })
      yield* isAt("running", id)
      assert.deepStrictEqual(claimed.deadline, Option.some(hours(1)))
      assert.deepStrictEqual((yield* show(id)).due, Option.some(DateTime.addDuration(claimed.claimedAt, hours(1))))
      yield* end(released)
      yield* elapse(hours(1))
      const worker = yield* register
      const [again] = (yield* claim(worker)).jobs
      assert.deepInclude(again, { id, attempt: 2 })
      assert.isTrue(Option.isSome(again!.deadline))
      assert.deepInclude(yield* show(id), { place: "running", attempt: 2 })
      assert.strictEqual(yield* finish(worker, again!, completed), "accepted")
      assert.deepInclude(yield* show(id), { place: "completed", attempt: 2 })
    }))

  test("gives each of 200 jobs to one of 8 callers [LK-F4]", ({ register, store }) =>
    Effect.gen(function* () {
      const ids: Array<string> = []
      for (const size of [1, 7, 42, 150]) {
        ids.push(...(yield* store.enqueue(Array.from({ length: size }, (_, n) => job({ priority: n % 3 })))))
      }
      const drain = Effect.gen(function* () {
        const worker = yield* register
        const mine: Array<string> = []
        for (;;) {
          const claim = yield* store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 7 }] })
          mine.push(...claim.jobs.map(({ id }) => id))
          if (claim.found === "empty") return mine
        }
      })
      const all = yield* Effect.all(
        Array.from({ length: 8 }, () => drain),
        { concurrency: 8 }
      )
      assert.deepStrictEqual(all.flat().toSorted(), ids.toSorted())
    }))
}
