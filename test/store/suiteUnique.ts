import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Place } from "../../src/domain/Job.ts"
import type { NewJob, Uniqueness } from "../../src/store/Store.ts"
import type { Test } from "./suite.ts"
import { completed, hours, job, movedTo, stays } from "./suiteWorld.ts"

const unfinished: ReadonlyArray<Place> = ["scheduled", "ready", "running", "waiting"]

const under = (key: string, unique: Partial<Uniqueness> = {}, differs: Partial<NewJob> = {}) => ({
  ...job(differs),
  unique: { by: { key }, places: unfinished, onConflict: "keep", ...unique } satisfies Uniqueness
})

export const uniques = (test: Test): void => {
  test("keeps the job that is there, and says which it is [LK-E5]", ({ store }) =>
    Effect.gen(function* () {
      const [first] = yield* store.enqueueUnique([under("a")])
      assert.strictEqual(first!.outcome, "enqueued")
      const [second, other] = yield* store.enqueueUnique([under("a"), under("b")])
      assert.deepStrictEqual(second, { id: first!.id, outcome: "kept", former: Option.none() })
      assert.strictEqual(other!.outcome, "enqueued")
    }))

  test("lets the next one in when the last has left the places that count [LK-E5]", ({
    claim,
    finish,
    register,
    store
  }) =>
    Effect.gen(function* () {
      const [first] = yield* store.enqueueUnique([under("a")])
      const worker = yield* register
      const [claimed] = (yield* claim(worker)).jobs
      assert.strictEqual((yield* store.enqueueUnique([under("a")]))[0]!.outcome, "kept")
      yield* finish(worker, claimed!, completed)
      const [second] = yield* store.enqueueUnique([under("a")])
      assert.strictEqual(second!.outcome, "enqueued")
      assert.notStrictEqual(second!.id, first!.id)
      const [third] = yield* store.enqueueUnique([under("a", { places: ["completed"] })])
      assert.strictEqual(third!.outcome, "enqueued")
    }))

  test("counts a job for its period only, in every place it is given [LK-E5]", ({ elapse, isAt, store }) =>
    Effect.gen(function* () {
      const throttled = () =>
        under("a", { places: [...unfinished, "completed", "cancelled", "dead"], period: hours(2) })
      const [first] = yield* store.enqueueUnique([throttled()])
      yield* store.cancel(first!.id, "not wanted")
      assert.strictEqual((yield* store.enqueueUnique([throttled()]))[0]!.outcome, "kept")
      yield* elapse(hours(3))
      const [second] = yield* store.enqueueUnique([throttled()])
      assert.strictEqual(second!.outcome, "enqueued")
      yield* isAt("ready", second!.id)
    }))

  test("tells keys of one kind from those of another, and by payload, fields and key [LK-E5]", ({ store }) =>
    Effect.gen(function* () {
      const outcome = (differs: Partial<NewJob>, by: Uniqueness["by"]) =>
        Effect.map(store.enqueueUnique([under("", { by }, differs)]), ([result]) => result!.outcome)
      const key = { key: "a" }
      assert.strictEqual(yield* outcome({ kind: "mail" }, key), "enqueued")
      assert.strictEqual(yield* outcome({ kind: "page" }, key), "enqueued")
      assert.strictEqual(yield* outcome({ payload: { to: "x", at: [1, { b: 1, a: 2 }] } }, "payload"), "enqueued")
      assert.strictEqual(yield* outcome({ payload: { at: [1, { a: 2, b: 1 }], to: "x" } }, "payload"), "kept")
      assert.strictEqual(yield* outcome({ payload: { to: "x", at: [{ b: 1, a: 2 }, 1] } }, "payload"), "enqueued")
      const to = { fields: ["to"] }
      assert.strictEqual(yield* outcome({ payload: { to: "x", subject: "one" } }, to), "enqueued")
      assert.strictEqual(yield* outcome({ payload: { to: "x", subject: "two" } }, to), "kept")
      assert.strictEqual(yield* outcome({ payload: { to: "y", subject: "two" } }, to), "enqueued")
      assert.strictEqual(
        yield* outcome({ payload: { to: "x", subject: "one" } }, { fields: ["to", "subject"] }),
        "enqueued"
      )
      assert.strictEqual(
        yield* outcome({ payload: { subject: "one", to: "x" } }, { fields: ["subject", "to"] }),
        "kept"
      )
    }))

  test("replaces what is there by cancelling it, and marks what runs [LK-E5]", ({ isAt, running, store, told }) =>
    Effect.gen(function* () {
      const replace = under("a", { onConflict: "replace" })
      const [first] = yield* store.enqueueUnique([under("a")])
      const [second] = yield* store.enqueueUnique([replace])
      assert.deepStrictEqual(second, { id: second!.id, outcome: "replaced", former: Option.some(first!.id) })
      yield* isAt("cancelled", first!.id)
      assert.deepStrictEqual(yield* told(first!.id), ["1 cancelled: replaced by the next one under its key"])
      yield* store.cancel(second!.id, "make room")

      const [third] = yield* store.enqueueUnique([under("a", {}, { queue: "other" })])
      const worker = yield* store.register("worker")
      yield* store.claim({ worker, kinds: ["mail"], queues: [{ queue: "other", limit: 1 }] })
      const [fourth] = yield* store.enqueueUnique([replace])
      assert.deepStrictEqual(fourth!.former, Option.some(third!.id))
      yield* isAt("running", third!.id)
      assert.deepStrictEqual((yield* store.beat(worker)).cancelling, [third!.id])
      yield* store.cancel(fourth!.id, "make room")
      yield* running()
    }))

  test("puts a scheduled job off, and keeps one whose time has come [LK-E5]", ({ show, store }) =>
    Effect.gen(function* () {
      const debounce = (hour: number) => under("a", { onConflict: "debounce" }, { runIn: hours(hour) })
      const [first] = yield* store.enqueueUnique([debounce(1)])
      const before = yield* show(first!.id)
      const [second] = yield* store.enqueueUnique([debounce(5)])
      assert.deepStrictEqual(second, { id: first!.id, outcome: "debounced", former: Option.none() })
      const after = yield* show(first!.id)
      const due = (view: typeof before) => Option.getOrThrow(view.due).epochMilliseconds
      assert.isAbove(due(after) - due(before), Duration.toMillis(hours(3)))
      yield* store.runNow(first!.id)
      assert.strictEqual((yield* store.enqueueUnique([debounce(5)]))[0]!.outcome, "kept")
    }))

  test("merges payloads into the next job [LK-E5]", ({ isAt, show, store }) =>
    Effect.gen(function* () {
      const merge = (payload: unknown) => under("a", { onConflict: "merge" }, { payload })
      const [first] = yield* store.enqueueUnique([merge({ a: 1, b: 1 })])
      const [second] = yield* store.enqueueUnique([merge({ b: 2, c: 3 })])
      assert.strictEqual(second!.outcome, "merged")
      assert.deepStrictEqual((yield* show(second!.id)).payload, { a: 1, b: 2, c: 3 })
      yield* isAt("cancelled", first!.id)
    }))

  test("merges no payloads that have no fields: the next job has its own [LK-E5]", ({ show, store }) =>
    Effect.gen(function* () {
      const merge = (payload: unknown) => under("a", { onConflict: "merge" }, { payload })
      for (const payload of [{ a: 1 }, [1], 7, null]) {
        const [merged] = yield* store.enqueueUnique([merge(payload)])
        assert.deepStrictEqual((yield* show(merged!.id)).payload, payload)
      }
    }))

  test("decides within one call as over several [LK-E5]", ({ store }) =>
    Effect.gen(function* () {
      const results = yield* store.enqueueUnique([
        under("a"),
        under("a"),
        under("b"),
        under("a", { onConflict: "replace" }),
        under("b")
      ])
      assert.deepStrictEqual(
        results.map(({ outcome }) => outcome),
        ["enqueued", "kept", "enqueued", "replaced", "kept"]
      )
      assert.strictEqual(results[1]!.id, results[0]!.id)
      assert.deepStrictEqual(results[3]!.former, Option.some(results[0]!.id))
    }))

  for (const onConflict of ["keep", "replace", "debounce", "merge"] as const) {
    test(`leaves one job under a key that 40 callers want at once, in bulk too: ${onConflict} [LK-E5]`, ({ store }) =>
      Effect.gen(function* () {
        const runIn = hours(1)
        const call = (n: number) => {
          const keys = n % 2 === 0 ? ["a", "b", "c"] : ["c", "b", "a"]
          return store.enqueueUnique(keys.map((key) => under(key, { onConflict }, { payload: { n }, runIn })))
        }
        const results = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, n) => n),
          call,
          { concurrency: "unbounded" }
        )
        assert.lengthOf(
          results.flat().filter(({ outcome }) => outcome === "enqueued"),
          3
        )
        assert.lengthOf(yield* store.page({ place: "scheduled", limit: 200 }), 3)
      }))
  }

  test("drives a dead job again under its key, unless another under it is not over [LK-E5]", ({ isAt, show, store }) =>
    Effect.gen(function* () {
      const enter = (key = "a", payload: unknown = null) =>
        Effect.map(store.enqueueUnique([under(key, {}, { payload })]), ([result]) => result!)
      const one = (yield* enter()).id
      yield* store.setAside(one, "odd")
      const other = (yield* enter()).id
      assert.notStrictEqual(other, one)
      assert.deepStrictEqual(yield* store.redrive(one), { ...stays("dead"), heldBy: other })
      yield* store.setAside(other, "odd, too")

      assert.deepStrictEqual(yield* store.redrive(one), movedTo("ready"))
      assert.deepStrictEqual(yield* enter(), { id: one, outcome: "kept", former: Option.none() })
      assert.deepStrictEqual(yield* store.redrive(other), { ...stays("dead"), heldBy: one })
      yield* store.cancel(one, "enough")
      assert.deepStrictEqual(yield* store.redrive(other), movedTo("ready"))
      yield* isAt("ready", other)
      assert.strictEqual((yield* enter()).id, other)
      assert.strictEqual((yield* show((yield* enter("b")).id)).place, "ready")
    }))

  test("drives a dead job again that was unique by its payload, in the same way [LK-E5]", ({ store }) =>
    Effect.gen(function* () {
      const enter = Effect.map(
        store.enqueueUnique([under("", { by: "payload" }, { payload: { to: "x" } })]),
        ([result]) => result!.id
      )
      const one = yield* enter
      yield* store.setAside(one, "odd")
      const other = yield* enter
      assert.deepStrictEqual(yield* store.redrive(one), { ...stays("dead"), heldBy: other })
      yield* store.cancel(other, "enough")
      assert.deepStrictEqual(yield* store.redrive(one), movedTo("ready"))
      assert.strictEqual(yield* enter, one)
    }))

  test("keeps nothing of what was enqueued together when it fails, and tells nobody [LK-E1]", ({ store }) =>
    Effect.gen(function* () {
      let told = 0
      const tell = store.afterCommit(Effect.sync(() => void told++))
      const both = Effect.andThen(Effect.andThen(store.enqueue([job()]), store.enqueueUnique([under("a")])), tell)
      assert.isTrue((yield* Effect.exit(store.atomically(Effect.andThen(both, Effect.fail("no")))))._tag === "Failure")
      assert.lengthOf(yield* store.page({ place: "ready", limit: 10 }), 0)
      assert.strictEqual(told, 0)
      yield* store.atomically(
        Effect.andThen(
          both,
          Effect.sync(() => assert.strictEqual(told, 0))
        )
      )
      assert.lengthOf(yield* store.page({ place: "ready", limit: 10 }), 2)
      assert.strictEqual(told, 1)
    }))
}
