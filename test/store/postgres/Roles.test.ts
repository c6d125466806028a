/** Each role does its part over a real login, and is refused what is not its part. */
import * as PgClientModule from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SqlError } from "effect/sql/SqlError"
import { slotOf } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import * as Migrations from "../../../src/store/postgres/Migrations.ts"
import * as Roles from "../../../src/store/postgres/Roles.ts"
import { SchemaName } from "../../../src/store/postgres/SchemaName.ts"
import { Slots } from "../../../src/store/postgres/Slots.ts"
import { Store } from "../../../src/store/Store.ts"
import { randomName, TestDatabase, urlTo } from "../../support/TestDatabase.ts"
import { completed, endOf, job, movedTo, parked } from "../suiteWorld.ts"

/** Whoever can end a job enqueues what it wants to follow. */
const alarm = { kind: "alarm", queue: "alarms", priority: 5 }
const followed = job({ details: { followUps: { rescued: alarm, died: alarm } } })

const password = "only-for-tests"

/** Roles belong to the whole server: a schema of its own name keeps other runs on it apart. */
class Logins extends Context.Service<
  Logins,
  {
    readonly schema: string
    readonly owner: Store["Service"]
    readonly as: (role: Roles.Role) => Layer.Layer<Store | Slots | PgClientModule.PgClient, unknown>
  }
>()("lanekeeper/test/Logins") {
  static readonly layer = Layer.effect(
    Logins,
    Effect.gen(function* () {
      const schema = SchemaName.make(randomName("r"))
      const { name } = yield* TestDatabase
      const sql = yield* PgClientModule.PgClient
      yield* Migrations.migrate({ schema })
      yield* Effect.acquireRelease(Roles.make({ schema }), (made) =>
        Effect.gen(function* () {
          const all = [...made, ...Roles.roles.map((role) => `${schema}_login_${role}`)]
            .map((one) => `"${one}"`)
            .join(", ")
          yield* sql.unsafe(`DROP OWNED BY ${all}`)
          yield* sql.unsafe(`DROP ROLE ${all}`)
        }).pipe(Effect.orDie)
      )
      yield* Roles.make({ schema })
      for (const role of Roles.roles) {
        const login = `${schema}_login_${role}`
        yield* sql.unsafe(`CREATE ROLE "${login}" LOGIN PASSWORD '${password}'`)
        yield* sql.unsafe(`GRANT "${Roles.roleName(schema, role)}" TO "${login}"`)
      }
      const owner = Context.get(yield* Layer.build(layerPostgres({ schema })), Store)
      const as = (role: Roles.Role) => {
        const url = urlTo(name, { user: `${schema}_login_${role}`, password })
        return Layer.merge(layerPostgres({ schema }), Slots.layer({ schema })).pipe(
          Layer.provideMerge(PgClientModule.layer({ url: Redacted.make(url), maxConnections: 2 }))
        )
      }
      return { schema, owner, as }
    })
  ).pipe(Layer.provideMerge(TestDatabase.layerEmpty))
}

/** What the login may not do fails with the server's word for it. */
const refused = <A, R>(effect: Effect.Effect<A, SqlError, R>) =>
  Effect.matchEffect(effect, {
    onFailure: (error) => Effect.sync(() => assert.strictEqual(error.reason._tag, "AuthorizationError", error.message)),
    onSuccess: (value) => Effect.sync(() => assert.fail(`was allowed, and answered ${String(value)}`))
  })

const claimOne = (store: Store["Service"], worker: Effect.Success<ReturnType<Store["Service"]["register"]>>) =>
  store.claim({ worker, kinds: ["mail"], queues: [{ queue: "post", limit: 1 }] })

layer(Logins.layer, { excludeTestServices: true })("Roles", (it) => {
  const test = (
    role: Roles.Role,
    sentence: string,
    body: (world: {
      readonly store: Store["Service"]
      readonly owner: Store["Service"]
      readonly slots: Slots["Service"]
      readonly query: (text: string) => Effect.Effect<ReadonlyArray<unknown>, SqlError>
      /** As the owner of the tables. */
      readonly byHand: (text: string) => Effect.Effect<ReadonlyArray<unknown>, SqlError>
    }) => Effect.Effect<void, SqlError>
  ) =>
    it.effect(`${role}: ${sentence}`, () =>
      Effect.gen(function* () {
        const { as, owner, schema } = yield* Logins
        const ours = yield* PgClientModule.PgClient
        const byHand = (text: string) => ours.unsafe(text.replaceAll("lanekeeper.", `${schema}.`))
        yield* Effect.gen(function* () {
          const sql = yield* PgClientModule.PgClient
          const query = (text: string) => sql.unsafe(text.replaceAll("lanekeeper.", `${schema}.`))
          yield* body({ store: yield* Store, slots: yield* Slots, owner, query, byHand })
        }).pipe(Effect.provide(as(role)))
      })
    )

  test("producer", "enqueues, and reads no payload, not even its own [LK-N1]", ({ owner, query, store }) =>
    Effect.gen(function* () {
      const [now, later] = yield* store.enqueue([job(), job({ runIn: Duration.hours(1) })])
      assert.deepStrictEqual(yield* owner.place(now!), Option.some("ready"))
      yield* refused(query("SELECT payload FROM lanekeeper.job"))
      yield* refused(query("SELECT payload FROM lanekeeper.jobs"))
      yield* refused(store.show(now!))
      yield* refused(store.cancel(later!, "mine"))

      const unique = { by: { key: "k" }, places: ["ready"], onConflict: "merge" } as const
      const [first, second] = yield* store.enqueueUnique([
        { ...job({ payload: { a: 1 } }), unique },
        { ...job({ payload: { b: 2 } }), unique }
      ])
      assert.deepStrictEqual(second!.former, Option.some(first!.id))
      assert.deepStrictEqual(Option.getOrThrow(yield* owner.show(second!.id)).payload, { a: 1, b: 2 })
      yield* query("SELECT lanekeeper.enqueue('mail', unique_key => 'k2')")
      yield* owner.cancel(second!.id, "done here")
      yield* owner.cancel(now!, "done here")
      yield* owner.cancel(later!, "done here")
    })
  )

  test("worker", "claims, finishes in every way, beats and leaves", ({ owner, store }) =>
    Effect.gen(function* () {
      const worker = yield* store.register("worker")
      const endings = [
        completed,
        parked("token"),
        { _tag: "Failed", error: 1, retryIn: Duration.hours(1) },
        { _tag: "Died", reason: "x" }
      ] as const
      for (const ending of endings) {
        const [id] = yield* store.enqueue([followed])
        const [claimed] = (yield* claimOne(store, worker)).jobs
        assert.strictEqual(claimed?.id, id)
        assert.deepStrictEqual(yield* store.finish(worker, [endOf(claimed!, ending)]), ["accepted"])
      }
      assert.deepStrictEqual(yield* store.beat(worker), { alive: true, leases: [], cancelling: [] })
      assert.isTrue(yield* store.forget(worker))
      yield* refused(store.pause("post"))
      yield* owner.resume("token", { _tag: "Completed" })
    })
  )

  test(
    "maintenance",
    "moves what time moves and reclaims storage, and cannot claim [LK-N1]",
    ({ owner, slots, store }) =>
      Effect.gen(function* () {
        const worker = yield* owner.register("gone")
        const [id] = yield* owner.enqueue([{ ...followed, deadline: Duration.hours(1) }])
        assert.lengthOf((yield* claimOne(owner, worker)).jobs, 1)
        yield* store.promote({ limit: 10 })
        yield* store.expireWaits({ limit: 10 })
        yield* store.rescueOverdue({ limit: 10, crashBudget: 3 })
        assert.isTrue(yield* store.declareDead(worker, 0))
        assert.strictEqual((yield* store.rescueWorker(worker, { limit: 10, crashBudget: 3 })).ready, 1)
        const tended = yield* store.tendEvents({ limit: 10, keep: Duration.zero, sink: true })
        assert.isAbove(tended.numbered, 0)
        const taken = yield* store.takeEvents({ limit: 10, stuckAfter: Duration.zero })
        yield* store.eventsDelivered(taken.map((event) => event.id))
        yield* store.tendEvents({ limit: 10, keep: Duration.zero, sink: false })
        assert.isAbove(yield* slots.evacuate(slotOf(id!), { limit: 100 }), 0)
        for (const shelf of [0, 1]) assert.include(["used", "empty", "emptied"], yield* slots.emptyShelf(shelf))
        assert.include(["used", "emptied"], yield* slots.emptySlot(slotOf(id!)))
        yield* slots.clearAttic({ limit: 10 })

        const claimer = yield* store.register("maintenance")
        yield* refused(claimOne(store, claimer))
        assert.deepStrictEqual(yield* owner.place(id!), Option.some("ready"))
        yield* owner.cancel(id!, "done here")
      })
  )

  test("maintenance", "keeps house: reclaims, counts, lifts, repairs and lets go [LK-N1]", ({ byHand, owner, store }) =>
    Effect.gen(function* () {
      yield* store.reclaim({ limit: 10 })
      assert.lengthOf(yield* store.storage, 45)
      assert.isTrue(yield* store.takeStats)
      assert.isTrue(Option.isSome(yield* store.stats))
      yield* owner.enqueue([job({ priority: 9 }), job({ priority: 0 })])
      yield* byHand("UPDATE lanekeeper.ticket SET ready_at = ready_at - interval '1 hour'")
      assert.isAbove(yield* store.lift({ step: Duration.minutes(1), limit: 10 }), 0)

      yield* owner.enqueue([job({ runIn: Duration.hours(1) }), job({ queue: "lost" }), job({ queue: "gone" })])
      const nobody = yield* owner.register("nobody")
      assert.lengthOf((yield* claimOne(owner, nobody)).jobs, 1)
      yield* byHand(`DELETE FROM lanekeeper.worker WHERE id = ${nobody}`)
      yield* byHand("DELETE FROM lanekeeper.job WHERE queue = 'gone' OR id IN (SELECT job FROM lanekeeper.timed)")
      yield* byHand("DELETE FROM lanekeeper.ticket WHERE queue = 'lost'")
      const repaired: Record<string, number> = {}
      for (let full = true; full;) {
        const page = yield* store.reconcile({ limit: 256, crashBudget: 3 })
        for (const [kind, count] of Object.entries(page.repaired)) repaired[kind] = (repaired[kind] ?? 0) + count
        ;({ full } = page)
      }
      for (const kind of [
        "body without a pointer",
        "ticket without a body",
        "time without a body",
        "lease of nobody"
      ]) {
        assert.isAtLeast(repaired[kind]!, 1, kind)
      }
      assert.isTrue(Option.isSome(yield* store.findings))

      yield* byHand("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'lanekeeper.timed_due'::regclass")
      const [{ version }] = (yield* byHand("SELECT current_setting('server_version_num')::int AS version")) as [
        { readonly version: number }
      ]
      const [mended] = yield* store.mendIndex
      assert.strictEqual(mended!.outcome, version >= 170_000 ? "rebuilt" : "left", mended!.reason ?? "")

      yield* owner.declareDead(yield* owner.register("vanished"), 0)
      assert.isAbove(yield* store.trimWorkers({ after: Duration.zero, limit: 10 }), 0)
      assert.deepStrictEqual(yield* store.retire({ limit: 10 }), { dead: 0, keys: 0, notes: 0 })
      for (const { id } of yield* owner.page({ place: "ready", limit: 100 })) yield* owner.cancel(id, "done here")
    })
  )

  test("viewer", "reads everything and moves nothing [LK-N1]", ({ owner, query, store }) =>
    Effect.gen(function* () {
      const [id] = yield* owner.enqueue([job()])
      assert.deepStrictEqual(yield* store.place(id!), Option.some("ready"))
      assert.lengthOf(yield* query(`SELECT payload FROM lanekeeper.jobs WHERE id = '${id}'`), 1)
      yield* refused(store.cancel(id!, "no"))
      yield* refused(store.enqueue([job()]))
      yield* refused(query("SELECT lanekeeper.enqueue('mail', unique_key => 'k3')"))
      yield* refused(store.promote({ limit: 1 }))
      yield* refused(claimOne(store, yield* owner.register("somebody")))
      yield* owner.cancel(id!, "done here")
    })
  )

  test(
    "operator",
    "reads, cancels, sets aside, reassigns, drives again and pauses, and cannot claim [LK-N1]",
    (world) =>
      Effect.gen(function* () {
        const { owner, store } = world
        const [one, two, later] = yield* owner.enqueue([followed, job(), job({ runIn: Duration.hours(1) })])
        assert.deepStrictEqual(yield* store.setAside(one!, "odd"), movedTo("dead"))
        const unique = { by: { key: "by hand" }, places: ["ready"], onConflict: "keep" } as const
        const [mine] = yield* store.enqueueUnique([{ ...job(), unique }])
        assert.deepStrictEqual(yield* store.cancel(mine!.id, "no"), movedTo("cancelled"))
        assert.deepStrictEqual(yield* store.redrive(one!), movedTo("ready"))
        assert.deepStrictEqual(yield* store.reassign(two!, { queue: "bulk" }), movedTo("ready"))
        assert.deepStrictEqual(yield* store.runNow(later!), movedTo("ready"))
        yield* store.pause("bulk")
        assert.deepStrictEqual(yield* store.pausedQueues, ["bulk"])
        yield* refused(claimOne(store, yield* owner.register("somebody")))
        for (const id of [one!, two!, later!])
          assert.deepStrictEqual(yield* store.cancel(id, "no"), movedTo("cancelled"))
        yield* store.unpause("bulk")
      })
  )
})
