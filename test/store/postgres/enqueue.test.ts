/** Enqueueing that only a database can show: from SQL, from triggers, from very many at once. */
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import { CurrentTransformer } from "effect/sql/Statement"
import { join } from "node:path"
import { type JobId, parseId } from "../../../src/domain/Job.ts"
import { layerPostgres } from "../../../src/store/postgres/index.ts"
import { Store, type Uniqueness } from "../../../src/store/Store.ts"
import { eventually } from "../../support/eventually.ts"
import { root, run } from "../../support/processes.ts"
import { TestDatabase } from "../../support/TestDatabase.ts"
import { hours, job } from "../suiteWorld.ts"

const enqueue = Effect.fnUntraced(function* (parameters: string) {
  const sql = yield* PgClient
  const [row] = yield* sql.unsafe<{ id: string }>(`SELECT lanekeeper.enqueue(${parameters}) AS id`)
  return Option.getOrThrow(parseId(row!.id))
})

const show = (id: JobId) => Effect.flatMap(Store, (store) => Effect.map(store.show(id), Option.getOrThrow))

/** Counts the statements of what it is put around. */
const counting = () => {
  let statements = 0
  const counted = Effect.provideService(CurrentTransformer, (statement) => Effect.sync(() => (statements++, statement)))
  return { counted, statements: () => statements }
}

const atOnce = <A, E, R>(all: ReadonlyArray<Effect.Effect<A, E, R>>) => Effect.all(all, { concurrency: "unbounded" })

/** As a fiber does that has nothing to do with the transaction that is open here. */
const outside = <A, E, R>(sql: PgClient, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(
    effect,
    (context: Context.Context<R>) => Context.omit(sql.transactionService)(context) as Context.Context<R>
  )

const waitingForLocks = Effect.flatMap(TestDatabase, ({ connect }) =>
  Effect.scoped(
    Effect.flatMap(connect, (connection) =>
      Effect.map(
        connection.query(
          `SELECT count(DISTINCT pid)::int AS waiting FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`
        ),
        ({ rows }) => rows[0]!["waiting"] as number
      )
    )
  )
)

layer(layerPostgres().pipe(Layer.provideMerge(TestDatabase.layer)), { excludeTestServices: true })("Enqueue", (it) => {
  it.effect("from SQL: writes what the library would [LK-E1] [LK-E4]", () =>
    Effect.gen(function* () {
      const now = yield* show(yield* enqueue(`'mail', '{"to": "x"}'`))
      assert.deepInclude(now, { kind: "mail", queue: "default", priority: 5, place: "ready", details: null })
      assert.deepStrictEqual(now.payload, { to: "x" })
      const later = yield* show(
        yield* enqueue(`'mail', '1', queue => 'post', priority => 2, delay => '1 hour', deadline => '10 minutes',
          max_attempts => 3, tags => '{a,b}', metadata => '{"order": 7}'`)
      )
      assert.deepInclude(later, { queue: "post", priority: 2, place: "scheduled" })
      assert.deepStrictEqual(later.details, { maxAttempts: 3, tags: ["a", "b"], metadata: { order: 7 } })
      const due = Option.getOrThrow(later.due).epochMilliseconds - later.enqueuedAt.epochMilliseconds
      assert.strictEqual(due, Duration.toMillis("1 hour"))
    })
  )

  it.effect("from SQL: holds to the keys the library holds to [LK-E5]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const first = yield* enqueue(`'mail', unique_key => 'k'`)
      assert.strictEqual(yield* enqueue(`'mail', unique_key => 'k'`), first)
      const unique: Uniqueness = { by: { key: "k" }, places: ["ready"], onConflict: "keep" }
      const [kept] = yield* store.enqueueUnique([{ ...job(), unique }])
      assert.strictEqual(kept!.id, first)
      const third = yield* enqueue(`'mail', unique_key => 'k', on_conflict => 'replace'`)
      assert.notStrictEqual(third, first)
      assert.deepStrictEqual(yield* store.place(first), Option.some("cancelled"))
    })
  )

  it.effect("from SQL: refuses what breaks a rule, with a sentence [LK-E5] [LK-N3]", () =>
    Effect.gen(function* () {
      const refused = (parameters: string) =>
        Effect.map(Effect.flip(enqueue(parameters)), (error: SqlError) => (error.reason.cause as Error).message)
      assert.match(yield* refused(`''`), /^kind is "": a kind has a name/)
      assert.match(yield* refused(`repeat('x', 257), delay => '1 hour'`), /a name of at most 256 bytes$/)
      assert.match(yield* refused(`'mail', queue => ' '`), /^queue is " ": a queue has a name/)
      assert.match(yield* refused(`'mail', priority => 10`), /^priority is 10: it goes from 0, first, to 9, last/)
      assert.match(yield* refused(`'mail', delay => '1 hour', run_at => now()`), /^delay and run_at are both given/)
      assert.match(yield* refused(`'mail', deadline => '0'`), /^deadline is 00:00:00/)
      assert.match(yield* refused(`'mail', max_attempts => 0`), /^max_attempts is 0/)
      assert.match(yield* refused(`'mail', unique_key => ''`), /^unique_key is "": a key is not blank/)
      assert.match(yield* refused(`'mail', unique_key => repeat('x', 257)`), /has at most 256 bytes$/)
      assert.match(yield* refused(`'mail', unique_key => 'k', on_conflict => 'ignore'`), /^on_conflict is "ignore"/)
      assert.match(yield* refused(`'mail', unique_key => 'k', on_conflict => 'debounce'`), /^debounce needs a delay/)
      assert.match(yield* refused(`'mail', to_jsonb(repeat('x', 1048576))`), /^the payload has 1048578 bytes/)
      assert.match(
        yield* refused(`'mail', metadata => jsonb_build_object('x', repeat('x', 65536))`),
        /^tags and metadata have \d+ bytes/
      )
    })
  )

  it.effect(
    "takes a length of time that no date can be put off by as the longest there is: nobody's claim fails for it [LK-E4]",
    () =>
      Effect.gen(function* () {
        const store = yield* Store
        const worker = yield* store.register("worker")
        yield* enqueue(`'long', deadline => '10000000 years', queue => 'long'`)
        yield* store.enqueue([job({ kind: "long", queue: "long", deadline: Duration.days(1e12) })])
        yield* store.enqueue([job({ kind: "long", queue: "long" })])
        const { jobs } = yield* store.claim({ worker, kinds: ["long"], queues: [{ queue: "long", limit: 10 }] })
        assert.lengthOf(jobs, 3)

        yield* enqueue(`'far', run_at => 'infinity', queue => 'far'`)
        yield* enqueue(`'far', delay => '200000 years', queue => 'far'`)
        yield* store.enqueue([job({ queue: "far", runIn: Duration.days(1e12) })])
        const views = yield* store.page({ place: "scheduled", queue: "far", limit: 10 })
        assert.lengthOf(
          views.filter(({ due }) => Option.isSome(due)),
          3
        )
      })
  )

  it.effect("one by one: in one statement each, which writes what the one for many does [LK-E1] [LK-E4]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const sql = yield* PgClient
      const ones = [
        job({ queue: "ones", payload: { to: "x" } }),
        job({ queue: "ones", priority: 1, deadline: hours(1), details: { tags: ["a"], metadata: { order: 7 } } }),
        job({ queue: "ones", payload: "twice", runIn: Duration.zero })
      ]
      const { counted, statements } = counting()
      for (const one of ones) yield* counted(store.enqueue([one]))
      assert.strictEqual(statements(), ones.length)
      yield* store.enqueue([...ones, job({ queue: "another" })])
      const same = yield* sql<{ readonly written: number }>`
        SELECT count(*)::int AS written
        FROM lanekeeper.job JOIN lanekeeper.ticket ON jobs @> job.id AND ticket.id = job.ticket
        WHERE job.queue = 'ones' AND job.slot = ticket.slot
        GROUP BY (turn, job.priority, ticket.priority, job.kind, ticket.kind, ticket.queue, job.deadline_ms, ticket.deadline_ms,
          payload, details, again, attempt, failures, crashes)`
      assert.deepStrictEqual(
        same.map(({ written }) => written),
        [2, 2, 2]
      )
    })
  )

  it.effect("at the same time: shares statements, with an id for each in the order of the calls [LK-E1] [LK-E4]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const { counted, statements } = counting()
      const jobs = [1, 2, 3, 4, 5, 6].map((payload) =>
        job({ queue: "together", payload, ...(payload === 4 ? { priority: 1, runIn: hours(1) } : {}) })
      )
      const ids = yield* atOnce(jobs.map((one) => counted(Effect.map(store.enqueue([one]), ([id]) => id!))))
      assert.strictEqual(statements(), 2)
      const views = yield* Effect.forEach(ids, show)
      assert.deepStrictEqual(
        views.map(({ payload, place }) => [payload, place]),
        [1, 2, 3, 4, 5, 6].map((payload) => [payload, payload === 4 ? "scheduled" : "ready"])
      )
      const numbers = ids.map((id) => BigInt(id.split("-")[1]!))
      assert.deepStrictEqual(
        numbers,
        numbers.toSorted((a, b) => Number(a - b))
      )
    })
  )

  it.effect("at the same time: what the server refuses fails only its own caller [LK-E1] [LK-E3]", () =>
    Effect.gen(function* () {
      const store = yield* Store
      const payloads = ["first", "second", "\u0000", "fourth", 10n, "sixth"]
      const exits = yield* atOnce(
        payloads.map((payload) => Effect.exit(store.enqueue([job({ queue: "refused", payload })])))
      )
      assert.deepStrictEqual(
        exits.map(({ _tag }) => _tag),
        ["Success", "Success", "Failure", "Success", "Failure", "Success"]
      )
      const views = yield* store.page({ place: "ready", queue: "refused", limit: 10 })
      assert.sameMembers(
        views.map(({ payload }) => payload),
        ["first", "second", "fourth", "sixth"]
      )
    })
  )

  it.effect("in a transaction: shares nothing, and neither do keys [LK-E1] [LK-E5]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      const undone = sql.withTransaction(
        Effect.andThen(store.enqueue([job({ queue: "apart", payload: "undone" })]), Effect.fail("no"))
      )
      const kept = store.enqueue([job({ queue: "apart", payload: "kept" })])
      const unique: Uniqueness = { by: { key: "apart" }, places: ["ready"], onConflict: "keep" }
      const keyed = store.enqueueUnique([{ ...job({ queue: "apart", payload: "keyed" }), unique }])
      yield* atOnce([
        Effect.asVoid(kept),
        Effect.asVoid(Effect.flip(undone)),
        Effect.asVoid(kept),
        Effect.asVoid(keyed)
      ])
      const payloads = Effect.map(store.page({ place: "ready", queue: "apart", limit: 10 }), (views) =>
        views.map(({ payload }) => payload)
      )
      assert.sameMembers([...(yield* payloads)], ["kept", "kept", "keyed"])
      // A key that a transaction holds keeps nobody but its own.
      const waiter = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* keyed
          const waiter = yield* Effect.forkDetach(outside(sql, keyed), { startImmediately: true })
          yield* outside(sql, atOnce([kept, kept, kept]))
          assert.isUndefined(waiter.pollUnsafe())
          return waiter
        })
      )
      yield* Fiber.join(waiter)
    })
  )

  it.effect("on its way: is cancelled when nobody waits for it, and leaves its connection [LK-E1]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      const call = store.enqueue([job({ queue: "left" })])
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE lanekeeper.ticket IN EXCLUSIVE MODE`
          const callers = yield* Effect.forEach([1, 2, 3], () =>
            Effect.forkDetach(outside(sql, call), { startImmediately: true })
          )
          yield* eventually(waitingForLocks, (waiting) => waiting === 2)
          yield* Fiber.interrupt(callers[1]!)
          assert.strictEqual(yield* waitingForLocks, 2)
          yield* Fiber.interruptAll(callers)
          yield* eventually(waitingForLocks, (waiting) => waiting === 0)
        })
      )
      assert.deepStrictEqual(yield* store.page({ place: "ready", queue: "left", limit: 10 }), [])
      assert.lengthOf(yield* call, 1)
    })
  )

  it.effect("on its way: a lost connection fails all who share it, and nothing is sent again [LK-E1] [LK-P1]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      const { counted, statements } = counting()
      const call = counted(store.enqueue([job({ queue: "lost" })]))
      const callers = yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE lanekeeper.ticket IN EXCLUSIVE MODE`
          const callers = yield* Effect.forEach([1, 2, 3], () =>
            Effect.forkDetach(outside(sql, call), { startImmediately: true })
          )
          yield* eventually(waitingForLocks, (waiting) => waiting === 2)
          yield* sql`SELECT pg_terminate_backend(pid) FROM (
            SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
            WHERE NOT granted AND datname = current_database()
          ) AS waiting`
          return callers
        })
      )
      for (const caller of callers) yield* Effect.flip(Fiber.join(caller))
      assert.strictEqual(statements(), 2)
      assert.deepStrictEqual(yield* store.page({ place: "ready", queue: "lost", limit: 10 }), [])
      assert.lengthOf(yield* call, 1)
    })
  )

  it.effect("from a trigger: with the row that fired it, or not at all [LK-E1]", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient
      const store = yield* Store
      yield* sql`CREATE TABLE orders (id int PRIMARY KEY)`
      yield* sql`
        CREATE FUNCTION order_placed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          PERFORM lanekeeper.enqueue('order-placed', jsonb_build_object('order', NEW.id), queue => 'orders');
          RETURN NEW;
        END
        $$`
      yield* sql`CREATE TRIGGER order_placed AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_placed()`
      const orders = Effect.map(store.page({ place: "ready", queue: "orders", limit: 10 }), (views) =>
        views.map(({ payload }) => payload)
      )
      yield* Effect.flip(sql.withTransaction(Effect.andThen(sql`INSERT INTO orders VALUES (1)`, Effect.fail("no"))))
      assert.deepStrictEqual(yield* orders, [])
      yield* sql`INSERT INTO orders VALUES (2), (3)`
      assert.deepStrictEqual(yield* orders, [{ order: 3 }, { order: 2 }])
    })
  )

  for (const onConflict of ["keep", "replace", "debounce", "merge"] as const) {
    it.effect(`lets one in of 1,000 that want a key at once over a pool: ${onConflict} [LK-E5]`, () =>
      Effect.gen(function* () {
        const store = yield* Store
        const queue = `crowd ${onConflict}`
        const unique: Uniqueness = {
          by: { key: queue },
          places: ["scheduled", "ready", "running", "waiting"],
          onConflict
        }
        const call = store.enqueueUnique([{ ...job({ queue, runIn: hours(1), payload: {} }), unique }])
        const results = yield* Effect.forEach(Array.from({ length: 1_000 }), () => call, { concurrency: "unbounded" })
        assert.lengthOf(
          results.flat().filter(({ outcome }) => outcome === "enqueued"),
          1
        )
        assert.lengthOf(yield* store.page({ place: "scheduled", queue, limit: 10 }), 1)
      })
    )
  }
})

it.live(
  "enqueues 100,000 jobs in one call within 300 MB of heap, while nobody works or maintains [LK-E2] [LK-E8]",
  () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const sql = yield* PgClient
      const script = join(root, "test/support/enqueueMany.ts")
      const result = yield* run(process.execPath, ["--max-old-space-size=300", script, "100000"], {
        env: { DATABASE_URL: url }
      })
      assert.strictEqual(result.code, 0, result.stderr)
      assert.strictEqual(result.stdout, "enqueued 100000\n")
      const [row] = yield* sql<{ jobs: number }>`SELECT sum(size)::int AS jobs FROM lanekeeper.ticket`
      assert.strictEqual(row!.jobs, 100_000)
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer))
)
