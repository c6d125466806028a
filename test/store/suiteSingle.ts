import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Ending } from "../../src/domain/Attempt.ts"
import type { JobId } from "../../src/domain/Job.ts"
import type { Test } from "./suite.ts"
import {
  completed,
  died,
  hours,
  movedTo,
  nothingMoved,
  noSuchJob,
  parked,
  released,
  retried,
  stays
} from "./suiteWorld.ts"

const nobody = "1-999999" as JobId

export const single = (test: Test): void => {
  test("resumes a waiting job with the value that came, and keeps the value [LK-C5]", (world) =>
    Effect.gen(function* () {
      const { claim, register, show, store, told, waiting } = world
      const id = yield* waiting("token")
      const value = { paid: true, none: undefined }
      assert.deepStrictEqual(yield* store.resume("token", { _tag: "Resumed", value }), movedTo("ready"))
      assert.deepStrictEqual(yield* told(id), ["1 parked", "2 resumed"])
      const line = (yield* show(id)).history[1]!
      assert.deepInclude(line, { output: { paid: true }, worker: Option.none() })
      const [again] = (yield* claim(yield* register)).jobs
      assert.deepInclude(again, { id, attempt: 3, failures: 0 })
    }))

  test("ends a wait from outside in every way there is", ({ elapse, isAt, show, store, told, waiting }) =>
    Effect.gen(function* () {
      const later = yield* waiting("later")
      const how = { _tag: "Resumed", in: hours(1) } as const
      assert.deepStrictEqual(yield* store.resume("later", how), movedTo("scheduled"))
      yield* elapse(hours(1))
      yield* store.promote({ limit: 1 })
      yield* isAt("ready", later)
      yield* store.setAside(later, "seen")

      const done = yield* waiting("done")
      const output = ["receipt"]
      assert.deepStrictEqual(yield* store.resume("done", { _tag: "Completed", output }), movedTo("completed"))
      assert.deepStrictEqual(yield* told(done), ["1 parked", "2 completed"])
      assert.deepStrictEqual((yield* show(done)).history[1]!.output, output)

      const dead = yield* waiting("dead")
      assert.deepStrictEqual(yield* store.resume("dead", { _tag: "Died", reason: "declined" }), movedTo("dead"))
      assert.deepStrictEqual(yield* told(dead), ["1 parked", "2 died: declined"])
      assert.strictEqual((yield* show(dead)).failures, 0)

      const gone = yield* waiting("gone")
      assert.deepStrictEqual(yield* store.resume("gone", { _tag: "Cancelled", reason: "void" }), movedTo("cancelled"))
      assert.deepStrictEqual(yield* told(gone), ["1 parked", "2 cancelled: void"])
    }))

  test("resumes a wait once, however many call", ({ store, told, waiting }) =>
    Effect.gen(function* () {
      const id = yield* waiting("token")
      const resume = store.resume("token", { _tag: "Resumed" })
      const answers = yield* Effect.all(
        Array.from({ length: 8 }, () => resume),
        { concurrency: 8 }
      )
      assert.strictEqual(answers.filter(({ moved }) => moved).length, 1)
      assert.deepStrictEqual(yield* told(id), ["1 parked", "2 resumed"])
      assert.deepStrictEqual(yield* resume, noSuchJob)
      assert.deepStrictEqual(yield* store.resume("nobody's", { _tag: "Completed" }), noSuchJob)
    }))

  test("resumes the oldest of the jobs that wait for one token, each once", ({ isAt, store, waiting }) =>
    Effect.gen(function* () {
      const first = yield* waiting("token")
      const second = yield* waiting("token")
      const resume = store.resume("token", { _tag: "Completed" })
      assert.deepStrictEqual(yield* resume, movedTo("completed"))
      yield* isAt("completed", first)
      yield* isAt("waiting", second)
      const others = [yield* waiting("token"), yield* waiting("token")]
      const answers = yield* Effect.all([resume, resume, resume, resume], { concurrency: 4 })
      assert.strictEqual(answers.filter(({ moved }) => moved).length, 3)
      yield* isAt("completed", second, ...others)
    }))

  test("frees a token when its wait ends, in whatever way", ({ isAt, store, waiting }) =>
    Effect.gen(function* () {
      const cancelled = yield* waiting("token")
      yield* store.cancel(cancelled, "not wanted")
      const aside = yield* waiting("token")
      yield* store.setAside(aside, "stuck")
      const last = yield* waiting("token")
      assert.deepStrictEqual(yield* store.resume("token", { _tag: "Completed" }), movedTo("completed"))
      yield* isAt("completed", last)
      yield* isAt("cancelled", cancelled)
      yield* isAt("dead", aside)
    }))

  test("cancels a job that is scheduled, ready or waiting, for good [LK-G5]", (world) =>
    Effect.gen(function* () {
      const { claimedIds, elapse, enqueue, register, store, told, waiting } = world
      const parked = yield* waiting("token")
      const [ready, later, neighbour] = yield* enqueue({}, { runIn: hours(1) }, {})
      for (const id of [parked, ready!, later!]) {
        assert.deepStrictEqual(yield* store.cancel(id, "not wanted"), movedTo("cancelled"))
        assert.deepStrictEqual(yield* store.cancel(id, "again"), stays("cancelled"))
      }
      yield* elapse(hours(3))
      assert.deepStrictEqual(yield* store.promote({ limit: 10 }), nothingMoved)
      assert.deepStrictEqual(yield* store.expireWaits({ limit: 10 }), nothingMoved)
      assert.deepStrictEqual(yield* claimedIds(yield* register), [neighbour])
      assert.deepStrictEqual(yield* told(ready!), ["1 cancelled: not wanted"])
      assert.deepStrictEqual(yield* told(parked), ["1 parked", "2 cancelled: not wanted"])
      assert.deepStrictEqual(yield* store.cancel(nobody, "why not"), noSuchJob)
    }))

  test("cancels one job out of many that were enqueued together, and the rest keep their turns [LK-G5]", (world) =>
    Effect.gen(function* () {
      const { claimedIds, enqueue, register, store } = world
      const worker = yield* register
      const ids = yield* enqueue(...Array.from({ length: 10 }, () => ({})))
      const more = yield* enqueue({}, {})
      assert.deepStrictEqual(yield* claimedIds(worker, 2), ids.slice(0, 2))
      yield* store.cancel(ids[4]!, "not wanted")
      assert.deepStrictEqual(yield* claimedIds(worker, 4), [ids[2], ids[3], ids[5], ids[6]])
      yield* store.cancel(ids[9]!, "not wanted")
      assert.deepStrictEqual(yield* claimedIds(worker), [ids[7], ids[8], ...more])
    }))

  test("tells the worker of a running job that somebody wants it cancelled; the first reason counts [LK-G5]", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, register, store, told } = world
      const worker = yield* register
      const [, id] = yield* enqueue({}, {}, {})
      const { jobs } = yield* claim(worker)
      assert.deepStrictEqual(yield* store.cancel(id!, "first"), stays("running"))
      assert.deepStrictEqual(yield* store.cancel(id!, "second"), stays("running"))
      assert.deepStrictEqual((yield* store.beat(worker)).cancelling, [id!])
      assert.strictEqual(yield* world.finish(worker, jobs[1]!, released), "accepted")
      assert.deepStrictEqual(yield* told(id!), ["1 released: first"])
      assert.deepStrictEqual((yield* store.beat(worker)).cancelling, [])
    }))

  const cancelled: ReadonlyArray<readonly [Ending, string]> = [
    [retried(hours(1)), "1 failed: not wanted"],
    [{ _tag: "Snoozed", for: hours(1) }, "1 snoozed: not wanted"],
    [parked("token"), "1 parked: not wanted"],
    [released, "1 released: not wanted"],
    [{ _tag: "Cancelled", reason: "interrupted" }, "1 cancelled: interrupted"]
  ]
  for (const [ending, line] of cancelled) {
    test(`lets a cancel win over what ${ending._tag} would lead to [LK-G5]`, ({ isAt, running, store, told }) =>
      Effect.gen(function* () {
        const { end, id } = yield* running()
        yield* store.cancel(id, "not wanted")
        assert.strictEqual(yield* end(ending), "accepted")
        yield* isAt("cancelled", id)
        assert.deepStrictEqual(yield* told(id), [line])
        assert.strictEqual(yield* end(ending), "repeated")
        assert.deepStrictEqual(yield* store.resume("token", { _tag: "Completed" }), noSuchJob)
      }))
  }

  test("leaves a job that completed or died before it heard of the cancel as it ended [LK-G5]", (world) =>
    Effect.gen(function* () {
      const { isAt, running, store, told } = world
      const done = yield* running()
      const dead = yield* running()
      for (const { id } of [done, dead]) yield* store.cancel(id, "not wanted")
      yield* done.end(completed)
      yield* dead.end(died)
      yield* isAt("completed", done.id)
      yield* isAt("dead", dead.id)
      assert.deepStrictEqual(yield* told(done.id), ["1 completed"])
      assert.deepStrictEqual(yield* told(dead.id), ["1 died: no such address"])
    }))

  test("forgets a cancel with the attempt it was meant for", ({ claim, finish, isAt, register, running, store }) =>
    Effect.gen(function* () {
      const { end, id } = yield* running()
      yield* store.cancel(id, "not wanted")
      yield* end(died)
      yield* store.redrive(id)
      const worker = yield* register
      const [again] = (yield* claim(worker)).jobs
      assert.deepStrictEqual((yield* store.beat(worker)).cancelling, [])
      yield* finish(worker, again!, released)
      yield* isAt("ready", id)
    }))

  test("sets a job aside with a reason, unless it runs", ({
    claimedIds,
    enqueue,
    isAt,
    register,
    running,
    store,
    told,
    waiting
  }) =>
    Effect.gen(function* () {
      const { id: runs } = yield* running()
      const parked = yield* waiting("token")
      const [ready, later] = yield* enqueue({}, { runIn: hours(1) })
      for (const id of [parked, ready!, later!]) {
        assert.deepStrictEqual(yield* store.setAside(id, "payload does not decode"), movedTo("dead"))
        assert.deepStrictEqual(yield* store.setAside(id, "again"), stays("dead"))
      }
      assert.deepStrictEqual(yield* store.setAside(runs, "why not"), stays("running"))
      assert.deepStrictEqual(yield* store.setAside(nobody, "why not"), noSuchJob)
      assert.deepStrictEqual(yield* told(ready!), ["1 set aside: payload does not decode"])
      yield* isAt("running", runs)
      assert.deepStrictEqual(yield* claimedIds(yield* register), [])
    }))

  test("runs a scheduled job now, ahead of fresh ones [LK-F5]", ({ claimedIds, enqueue, register, show, store }) =>
    Effect.gen(function* () {
      const [fresh, later] = yield* enqueue({}, { runIn: hours(1) })
      assert.deepStrictEqual(yield* store.runNow(later!), movedTo("ready"))
      assert.deepStrictEqual(yield* store.runNow(later!), stays("ready"))
      assert.deepStrictEqual(yield* store.runNow(nobody), noSuchJob)
      assert.deepStrictEqual((yield* show(later!)).history, [])
      assert.deepStrictEqual(yield* claimedIds(yield* register), [later, fresh])
    }))

  test("postpones a scheduled job, counted from now", ({ elapse, enqueue, isAt, store }) =>
    Effect.gen(function* () {
      const [ready, later] = yield* enqueue({}, { runIn: hours(1) })
      assert.deepStrictEqual(yield* store.postpone(later!, hours(3)), movedTo("scheduled"))
      assert.deepStrictEqual(yield* store.postpone(ready!, hours(3)), stays("ready"))
      assert.deepStrictEqual(yield* store.postpone(nobody, hours(3)), noSuchJob)
      yield* elapse(hours(2))
      assert.deepStrictEqual(yield* store.promote({ limit: 10 }), nothingMoved)
      yield* elapse(hours(1))
      assert.strictEqual((yield* store.promote({ limit: 10 })).ready, 1)
      yield* isAt("ready", later!)
    }))

  test("reassigns a ready job to another queue or priority, where it counts as ready again", (world) =>
    Effect.gen(function* () {
      const { claimedIds, enqueue, register, running, show, store } = world
      const worker = yield* register
      const { id: runs } = yield* running({ queue: "elsewhere" })
      const [a, b, c, d] = yield* enqueue({}, {}, {}, { queue: "bulk" })
      assert.deepStrictEqual(yield* store.reassign(c!, { priority: 3 }), movedTo("ready"))
      assert.deepStrictEqual(yield* store.reassign(b!, { queue: "bulk" }), movedTo("ready"))
      assert.deepStrictEqual(yield* store.reassign(runs, { queue: "bulk" }), stays("running"))
      assert.deepStrictEqual(yield* store.reassign(nobody, { queue: "bulk" }), noSuchJob)
      assert.deepInclude(yield* show(c!), { queue: "post", priority: 3, attempt: 0, history: [] })
      assert.deepInclude(yield* show(b!), { queue: "bulk", priority: 5 })
      const later = yield* enqueue({}, {})
      assert.deepStrictEqual(yield* store.reassign(later[1]!, {}), movedTo("ready"))
      assert.deepStrictEqual(yield* claimedIds(worker), [c, later[1], a, later[0]])
      assert.deepStrictEqual(yield* claimedIds(worker, 10, "bulk"), [b, d])
    }))

  test("keeps a reassigned job where it was put, through its attempts", (world) =>
    Effect.gen(function* () {
      const { claim, elapse, enqueue, finish, register, show, store } = world
      const [id] = yield* enqueue({})
      yield* store.reassign(id!, { queue: "bulk", priority: 2 })
      const worker = yield* register
      const [claimed] = (yield* claim(worker, 1, "bulk")).jobs
      assert.deepInclude(claimed, { id: id!, queue: "bulk", priority: 2 })
      yield* finish(worker, claimed!, retried(hours(1)))
      assert.deepInclude(yield* show(id!), { queue: "bulk", priority: 2 })
      yield* elapse(hours(1))
      assert.deepStrictEqual((yield* store.promote({ limit: 1 })).queues, ["bulk"])
    }))

  test("drives a dead job again with its history and fresh counts", ({ claim, dead, register, show, store, told }) =>
    Effect.gen(function* () {
      const id = yield* dead()
      assert.deepInclude(yield* show(id), { place: "dead", failures: 1 })
      assert.deepStrictEqual(yield* store.redrive(id), movedTo("ready"))
      assert.deepStrictEqual(yield* store.redrive(id), stays("ready"))
      assert.deepStrictEqual(yield* store.redrive(nobody), noSuchJob)
      const [again] = (yield* claim(yield* register)).jobs
      assert.deepInclude(again, { id, attempt: 2, failures: 0, crashes: 0 })
      assert.deepStrictEqual(yield* told(id), ["1 died: no such address"])
    }))

  test("drives a job again whose crash budget was spent, with a fresh one", (world) =>
    Effect.gen(function* () {
      const { declareDead, isAt, running, show, store } = world
      const { id, worker } = yield* running()
      yield* declareDead(worker)
      yield* store.rescueWorker(worker, { limit: 1, crashBudget: 0 })
      yield* isAt("dead", id)
      assert.deepInclude(yield* show(id), { crashes: 1 })
      yield* store.redrive(id)
      assert.deepInclude(yield* show(id), { place: "ready", crashes: 0, attempt: 1 })
    }))

  test("drives a job again however often it dies, and its history grows", (world) =>
    Effect.gen(function* () {
      const { claim, dead, finish, register, show, store, told } = world
      const id = yield* dead({ payload: { to: "x" }, details: { tags: [1] } })
      const worker = yield* register
      for (const _ of [2, 3]) {
        yield* store.redrive(id)
        const [again] = (yield* claim(worker)).jobs
        yield* finish(worker, again!, died)
      }
      const line = "died: no such address"
      assert.deepStrictEqual(yield* told(id), [`1 ${line}`, `2 ${line}`, `3 ${line}`])
      assert.deepInclude(yield* show(id), { place: "dead", failures: 1, attempt: 3 })
      assert.deepInclude(yield* show(id), { payload: { to: "x" }, details: { tags: [1] } })
      yield* store.redrive(id)
      const [last] = (yield* claim(worker)).jobs
      yield* finish(worker, last!, completed)
      assert.deepStrictEqual((yield* told(id)).at(-1), "4 completed")
    }))

  test("drives a job again while others still run under the lease it had", (world) =>
    Effect.gen(function* () {
      const { claim, enqueue, finish, isAt, register, show, store } = world
      const worker = yield* register
      yield* enqueue({}, {})
      const [first, other] = (yield* claim(worker)).jobs
      yield* finish(worker, first!, died)
      yield* store.redrive(first!.id)
      const [again] = (yield* claim(worker)).jobs
      assert.deepInclude(again, { id: first!.id, attempt: 2 })
      assert.deepInclude(yield* show(first!.id), { place: "running", attempt: 2 })
      assert.strictEqual(yield* finish(worker, first!, released), "refused")
      assert.strictEqual(yield* finish(worker, again!, released), "accepted")
      assert.deepInclude(yield* show(first!.id), { place: "ready", attempt: 2 })
      yield* isAt("running", other!.id)
    }))

  test("tells an outcome that is reported again from a late one although its job was purged [LK-G1]", (world) =>
    Effect.gen(function* () {
      const { end, id } = yield* world.running()
      assert.strictEqual(yield* end(died), "accepted")
      assert.isTrue(yield* world.store.purge(id))
      assert.strictEqual(yield* end(died), "repeated")
      assert.strictEqual(yield* end(completed), "refused")
    }))

  test("purges a dead job, and only a dead one", ({ dead, enqueue, store }) =>
    Effect.gen(function* () {
      const id = yield* dead()
      const [ready] = yield* enqueue({})
      assert.isTrue(yield* store.purge(id))
      assert.isFalse(yield* store.purge(id))
      assert.isFalse(yield* store.purge(ready!))
      assert.isFalse(yield* store.purge(nobody))
      assert.deepStrictEqual(yield* store.place(id), Option.none())
      assert.deepStrictEqual(yield* store.show(id), Option.none())
      assert.deepStrictEqual(yield* store.page({ place: "dead", limit: 10 }), [])
      assert.deepStrictEqual(yield* store.redrive(id), noSuchJob)
      assert.deepStrictEqual(yield* store.cancel(id, "too late"), noSuchJob)
    }))

  test("moves a job once when a claim and 7 others want it at once", ({
    claim,
    enqueue,
    isAt,
    register,
    store,
    told
  }) =>
    Effect.gen(function* () {
      const worker = yield* register
      for (let n = 0; n < 10; n++) {
        const [id] = yield* enqueue({})
        const others = [store.cancel(id!, "not wanted"), store.setAside(id!, "stuck")]
        const [claimed, ...results] = yield* Effect.all([claim(worker), ...others, ...others, ...others, others[0]!], {
          concurrency: 8
        })
        const moves = results.filter(({ moved }) => moved).length
        assert.strictEqual(moves + claimed.jobs.length, 1)
        assert.lengthOf(yield* told(id!), moves)
        if (moves === 0) yield* isAt("running", id!)
      }
    }))
}
