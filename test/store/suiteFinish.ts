import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Ending } from "../../src/domain/Attempt.ts"
import type { JobId, Place } from "../../src/domain/Job.ts"
import type { Claimed, LeaseId, WorkerId } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, died, endOf, hours, parked, released, retried } from "./suiteWorld.ts"

interface Case {
  readonly ending: Ending
  readonly place: Place
  readonly says: string
  readonly failures: number
}

const cases: ReadonlyArray<Case> = [
  { ending: { _tag: "Completed", output: { sent: 1 } }, place: "completed", says: "1 completed", failures: 0 },
  { ending: retried(hours(1)), place: "scheduled", says: "1 failed", failures: 1 },
  { ending: retried(hours(0)), place: "ready", says: "1 failed", failures: 1 },
  { ending: { _tag: "Snoozed", for: hours(1) }, place: "scheduled", says: "1 snoozed", failures: 0 },
  { ending: { _tag: "Snoozed", for: hours(0) }, place: "ready", says: "1 snoozed", failures: 0 },
  { ending: parked("token"), place: "waiting", says: "1 parked", failures: 0 },
  { ending: released, place: "ready", says: "1 released", failures: 0 },
  {
    ending: { _tag: "Died", reason: "no such address", error: { code: 7 } },
    place: "dead",
    says: "1 died: no such address",
    failures: 1
  },
  { ending: { _tag: "Cancelled", reason: "asked" }, place: "cancelled", says: "1 cancelled: asked", failures: 0 }
]

export const endings = (test: Test): void => {
  for (const { ending, failures, place, says } of cases) {
    const delay = "for" in ending || "retryIn" in ending ? `, ${place},` : ""
    test(`takes ${ending._tag}${delay} from the attempt that runs [LK-G1]`, ({ running, show, told }) =>
      Effect.gen(function* () {
        const { end, id, worker } = yield* running({ deadline: hours(9) })
        assert.strictEqual(yield* end(ending), "accepted")
        const view = yield* show(id)
        assert.deepInclude(view, { place, failures, crashes: 0, attempt: 1 })
        assert.strictEqual(Option.isSome(view.due), place === "scheduled" || place === "waiting")
        assert.deepStrictEqual(yield* told(id), [says])
        assert.deepInclude(view.history[0], {
          worker: Option.some(worker),
          error: "error" in ending ? ending.error : null,
          output: "output" in ending ? ending.output : null
        })
        assert.strictEqual(yield* end(ending), "repeated")
        assert.deepStrictEqual(yield* show(id), view)
      }))
  }

  test("puts off for ever what should not come back by itself, and can show and move it [LK-G5] [LK-H1]", (world) =>
    Effect.gen(function* () {
      const { elapse, isAt, running, show, store } = world
      const snoozed = yield* running()
      assert.strictEqual(yield* snoozed.end({ _tag: "Snoozed", for: Duration.infinity }), "accepted")
      const waits = yield* running()
      yield* waits.end({ _tag: "Parked", token: "token", expiresIn: Duration.infinity, onExpiry: "retry" })
      yield* elapse(hours(1_000_000))
      assert.strictEqual((yield* store.promote({ limit: 10 })).ready, 0)
      assert.strictEqual((yield* store.expireWaits({ limit: 10 })).ready, 0)
      for (const { id } of [snoozed, waits]) assert.isTrue(Option.isSome((yield* show(id)).due))
      assert.isTrue((yield* store.runNow(snoozed.id)).moved)
      yield* isAt("ready", snoozed.id)
    }))

  test("refuses an outcome from another worker, another lease or another attempt, and changes nothing [LK-G1]", (world) =>
    Effect.gen(function* () {
      const { claim, finish, register, running, show } = world
      const { claimed: first, end, worker } = yield* running()
      yield* end(released)
      const other = yield* register
      const [second] = (yield* claim(other)).jobs
      const before = yield* show(first.id)
      const refused = Effect.fnUntraced(function* (worker: WorkerId, attempt: Claimed) {
        assert.strictEqual(yield* finish(worker, attempt, completed), "refused")
      })
      assert.strictEqual(yield* finish(other, first, released), "refused")
      yield* refused(worker, first)
      yield* refused(worker, second!)
      yield* refused(other, first)
      yield* refused(other, { ...second!, lease: first.lease })
      yield* refused(other, { ...second!, lease: 9_999n as LeaseId })
      yield* refused(other, { ...second!, attempt: 3 })
      yield* refused(other, { ...second!, id: "1-999999" as JobId })
      assert.deepStrictEqual(yield* show(first.id), before)
      assert.strictEqual(yield* finish(other, second!, completed), "accepted")
    }))

  test("knows an outcome it took already, and refuses a different one [LK-G1]", ({ running, show }) =>
    Effect.gen(function* () {
      const { end, id } = yield* running()
      assert.strictEqual(yield* end(completed), "accepted")
      const view = yield* show(id)
      assert.strictEqual(yield* end({ _tag: "Completed", output: "again" }), "repeated")
      assert.strictEqual(yield* end(released), "refused")
      assert.deepStrictEqual(yield* show(id), view)
    }))

  test("answers a batch in the order given, an attempt named twice included [LK-G1]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, isAt, register, store } = world
      const worker = yield* register
      yield* enqueue({}, { priority: 6 }, {})
      const [a, b, c] = (yield* claim(worker)).jobs
      const answers = yield* store.finish(worker, [
        endOf(c!, completed),
        endOf({ ...b!, attempt: 2 }, completed),
        endOf(a!, died),
        endOf(c!, completed),
        endOf(a!, completed)
      ])
      assert.deepStrictEqual(answers, ["accepted", "refused", "accepted", "repeated", "refused"])
      yield* isAt("completed", c!.id)
      yield* isAt("dead", a!.id)
      yield* isAt("running", b!.id)
      assert.deepStrictEqual(yield* store.finish(worker, []), [])
    }))

  test("tells an old attempt of a job from the one that runs, in one batch [LK-G1]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, isAt, register, store } = world
      const worker = yield* register
      yield* enqueue({})
      const [old] = (yield* claim(worker)).jobs
      yield* finish(worker, old!, released)
      const [current] = (yield* claim(worker)).jobs
      const ends = [endOf(old!, died), endOf(current!, completed), endOf(old!, released)]
      assert.deepStrictEqual(yield* store.finish(worker, ends), ["refused", "accepted", "repeated"])
      yield* isAt("completed", old!.id)
    }))

  test("brings the jobs of a batch back in the order given [LK-F5]", ({
    claim,
    claimedIds,
    enqueue,
    register,
    store
  }) =>
    Effect.gen(function* () {
      const worker = yield* register
      yield* enqueue({}, {}, {})
      const [a, b, c] = (yield* claim(worker)).jobs
      yield* store.finish(worker, [endOf(b!, released), endOf(c!, retried(hours(0))), endOf(a!, released)])
      assert.deepStrictEqual(yield* claimedIds(worker), [b!.id, c!.id, a!.id])
    }))

  test("removes a lease when all its attempts have ended", ({ claim, enqueue, finish, register, store }) =>
    Effect.gen(function* () {
      const worker = yield* register
      yield* enqueue({}, {})
      const [a, b] = (yield* claim(worker)).jobs
      assert.strictEqual(a!.lease, b!.lease)
      yield* finish(worker, a!, completed)
      assert.deepStrictEqual((yield* store.beat(worker)).leases, [a!.lease])
      yield* finish(worker, b!, released)
      assert.deepStrictEqual((yield* store.beat(worker)).leases, [])
    }))

  test("counts failures over the attempts of a job, and nothing else as one", (world) =>
    Effect.gen(function* () {
      const { claim, elapse, enqueue, finish, register, show, store, told } = world
      const worker = yield* register
      const [id] = yield* enqueue({})
      const endings: ReadonlyArray<Ending> = [
        retried(hours(1)),
        { _tag: "Snoozed", for: hours(1) },
        released,
        retried(hours(1)),
        died
      ]
      const failures: Array<number> = []
      for (const ending of endings) {
        const [claimed] = (yield* claim(worker)).jobs
        failures.push(claimed!.failures)
        yield* finish(worker, claimed!, ending)
        yield* elapse(hours(1))
        yield* store.promote({ limit: 10 })
      }
      assert.deepStrictEqual(failures, [0, 1, 1, 1, 2])
      assert.deepInclude(yield* show(id!), { failures: 3, crashes: 0, attempt: 5 })
      assert.deepStrictEqual(yield* told(id!), [
        "1 failed",
        "2 snoozed",
        "3 released",
        "4 failed",
        "5 died: no such address"
      ])
    }))

  test("takes one outcome when 8 report different ones at once [LK-G1]", ({ running, show, store }) =>
    Effect.gen(function* () {
      const { claimed, id, worker } = yield* running()
      const endings: ReadonlyArray<Ending> = [completed, died, released, retried(hours(1))]
      const answers = yield* Effect.forEach(
        [...endings, ...endings],
        (ending) => store.finish(worker, [endOf(claimed, ending)]),
        { concurrency: 8 }
      )
      const count = (answer: string) => answers.flat().filter((said) => said === answer).length
      assert.deepStrictEqual([count("accepted"), count("repeated"), count("refused")], [1, 1, 6])
      assert.lengthOf((yield* show(id)).history, 1)
    }))

  test("keeps an ending whose text the database cannot store, with a mark in its place, and its batch [LK-B9]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, isAt, register, show, store } = world
      yield* enqueue({}, {})
      const worker = yield* register
      const [one, two] = (yield* claim(worker)).jobs
      const odd: Ending = { _tag: "Died", error: { "a\u0000": ["\ud800"] }, reason: "NUL \u0000" }
      assert.deepStrictEqual(yield* store.finish(worker, [endOf(one!, odd), endOf(two!, completed)]), [
        "accepted",
        "accepted"
      ])
      yield* isAt("completed", two!.id)
      const [line] = (yield* show(one!.id)).history
      assert.deepStrictEqual([line!.error, line!.reason], [{ "a\ufffd": ["\ufffd"] }, "NUL \ufffd"])
    }))
}
