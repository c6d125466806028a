/** The maintenance role on PostgreSQL: what it may do, what it leaves alone, and what it leaves behind. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import { Dispatcher, MaintenanceOnly } from "../../src/Dispatcher.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { Maintenance } from "../../src/lanes/Maintenance.ts"
import { LeaderElection } from "../../src/LeaderElection.ts"
import { layerMaintenanceOnly } from "../../src/roles/maintenance.ts"
import { Runtime } from "../../src/roles/Runtime.ts"
import { layerPostgres } from "../../src/store/postgres/index.ts"
import * as Migrations from "../../src/store/postgres/Migrations.ts"
import { Store } from "../../src/store/Store.ts"
import { StoreConnections } from "../../src/StoreConnections.ts"
import { dueEverywhere } from "../lanes/suite.ts"
import { elapse } from "../store/suitePostgres.ts"
import { completed, makeWorld } from "../store/suiteWorld.ts"
import { eventually } from "../support/eventually.ts"
import { maintainer } from "../support/maintainer.ts"
import { quietly } from "../support/quietly.ts"
import { TestDatabase, urlTo } from "../support/TestDatabase.ts"

const ground = (url: string) =>
  Lanekeeper.layerPostgres().pipe(
    Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1, idleTimeout: "400 millis" }))
  )

const test = (sentence: string, body: Effect.Effect<void, unknown, TestDatabase | PgClient.PgClient | Scope.Scope>) =>
  it.live(sentence, () => quietly(body).pipe(Effect.provide(TestDatabase.layer)))

const world = Effect.gen(function* () {
  const context = yield* Effect.context<PgClient.PgClient>()
  const store = Context.get(yield* Layer.build(layerPostgres()), Store)
  return makeWorld(store, (time) => Effect.provideContext(elapse(time), context))
})

const connections = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  const rows = yield* sql<{ readonly name: string }>`
    SELECT application_name AS name FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename LIKE 'maintainer%'`
  return rows.map(({ name }) => name)
})

describe("The maintenance role on PostgreSQL", () => {
  test(
    "moves five jobs and leaves the ready one, with no right to claim and no handlers [LK-A2, LK-N1]",
    Effect.gen(function* () {
      const { isAt, told, ...rest } = yield* world
      const { ready, ...jobs } = yield* dueEverywhere({ isAt, told, ...rest })
      const dispatched = yield* Ref.make(0)
      const spy = Layer.effect(
        Dispatcher,
        Effect.map(Dispatcher, ({ run }) => ({
          run: (stopping) =>
            Effect.andThen(
              Ref.update(dispatched, (n) => n + 1),
              run(stopping)
            )
        }))
      ).pipe(Layer.provide(MaintenanceOnly))
      const runtime = Runtime.layer().pipe(Layer.provide(spy), Layer.provide(Maintenance.layer()))
      yield* Layer.build(runtime.pipe(Layer.provide(ground(yield* maintainer))))
      yield* isAt("ready", ready, ...Object.values(jobs))
      assert.deepStrictEqual(yield* told(ready), [])
      assert.strictEqual(yield* Ref.get(dispatched), 1)
      const sql = yield* PgClient.PgClient
      assert.deepStrictEqual(yield* sql`SELECT FROM lanekeeper.lease`, [])
    })
  )

  test(
    "holds at most five connections as leader and two as follower, and none when it is closed [LK-A15, LK-K8]",
    Effect.gen(function* () {
      const url = yield* maintainer
      const scope = yield* Scope.make()
      const leader = yield* Layer.build(Layer.fresh(layerMaintenanceOnly().pipe(Layer.provideMerge(ground(url))))).pipe(
        Scope.provide(scope)
      )
      yield* eventually(Context.get(leader, LeaderElection).term, Option.isSome)
      let most = 0
      const watched = Effect.tap(connections, (names) => Effect.sync(() => (most = Math.max(most, names.length))))
      yield* eventually(watched, (names) => names.includes("lanekeeper maintenance hygiene"))
      yield* eventually(watched, (names) => names.filter((name) => !name.includes("lanekeeper")).length === 0)
      assert.isAtMost(most, 5)
      const before = (yield* connections).length
      yield* Layer.build(Layer.fresh(layerMaintenanceOnly().pipe(Layer.provideMerge(ground(url)))))
      yield* eventually(connections, (names) => names.length > before)
      assert.isAtMost((yield* connections).length - before, 2)
      yield* Scope.close(scope, Exit.void)
      // The server lets go of those of the one that was closed in its own time.
      yield* eventually(connections, (names) => names.includes("lanekeeper maintenance promote") && names.length <= 5)
    })
  )

  test(
    "names every connection by its role and class, and lets none of them wait for ever [LK-B14]",
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      // Each class writes to a table of its own: what the server holds there is what holds for the connection.
      const tables = { leader: "leader", "user-visible": "watch", storage: "look", hygiene: "lane_run" } as const
      yield* sql`CREATE TABLE public.seen (place text, name text, timeouts text)`
      yield* sql.unsafe(`CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
          INSERT INTO public.seen SELECT TG_TABLE_NAME, current_setting('application_name'), concat_ws(' ',
            current_setting('statement_timeout'), current_setting('lock_timeout'),
            current_setting('idle_in_transaction_session_timeout'));
          RETURN NULL;
        END $$`)
      for (const table of Object.values(tables)) {
        yield* sql.unsafe(
          `CREATE TRIGGER see AFTER INSERT OR UPDATE ON lanekeeper.${table} EXECUTE FUNCTION public.see()`
        )
      }
      const { enqueue } = yield* world
      yield* sql`UPDATE lanekeeper.ring SET period = '10000 days'`
      yield* enqueue({})
      yield* sql`UPDATE lanekeeper.ring SET period = '5000 days'` // its slot is not the current one any more
      yield* Layer.build(layerMaintenanceOnly().pipe(Layer.provide(ground(yield* maintainer))))
      const seen = sql<{ readonly place: string; readonly name: string; readonly timeouts: string }>`
        SELECT DISTINCT place, name, timeouts FROM public.seen WHERE name LIKE 'lanekeeper%' ORDER BY 1, 2`
      const rows = yield* Effect.andThen(
        eventually(seen, (rows) => rows.length >= 4),
        seen
      )
      assert.deepStrictEqual(
        rows.map(({ name, place, timeouts }) => [place, name, timeouts]),
        [
          ["lane_run", "lanekeeper maintenance hygiene", "35s 5s 5s"],
          ["leader", "lanekeeper maintenance leader", "30s 30s 5s"],
          ["look", "lanekeeper maintenance storage", "35s 5s 5s"],
          ["watch", "lanekeeper maintenance user-visible", "35s 1s 5s"]
        ]
      )
    })
  )

  test(
    "sets timeouts on every connection of its lanes [LK-B14]",
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const url = yield* maintainer
      const client = PgClient.layer({ url: Redacted.make(url) })
      const stores = Context.get(
        yield* Layer.build(StoreConnections.layerPostgres().pipe(Layer.provide(client))),
        StoreConnections
      )
      const open = (statementTimeout: number, lockTimeout: number) =>
        stores.open({
          name: "impatient",
          connections: 1,
          statementTimeout: Duration.millis(statementTimeout),
          lockTimeout: Duration.millis(lockTimeout)
        })
      const [lockFirst, statementFirst] = [yield* open(20_000, 50), yield* open(50, 20_000)]
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE lanekeeper.timed IN ACCESS EXCLUSIVE MODE`
          assert.strictEqual((yield* Effect.flip(lockFirst.promote({ limit: 1 }))).reason._tag, "LockTimeoutError")
          const ended = yield* Effect.flip(statementFirst.promote({ limit: 1 }))
          assert.strictEqual(ended.reason._tag, "StatementTimeoutError")
        })
      )
    })
  )

  test(
    "moves what others are moving, too, where the database asks for serializable transactions [LK-B4]",
    Effect.gen(function* () {
      const { enqueue, isAt } = yield* world
      const sql = yield* PgClient.PgClient
      yield* sql.unsafe(
        `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$`
      )
      const client = PgClient.layer({ url: Redacted.make(yield* maintainer) })
      const stores = Context.get(
        yield* Layer.build(StoreConnections.layerPostgres().pipe(Layer.provide(client))),
        StoreConnections
      )
      const lanes = yield* Effect.replicateEffect(
        stores.open({
          name: "strict",
          connections: 1,
          statementTimeout: Duration.seconds(20),
          lockTimeout: Duration.seconds(5)
        }),
        4
      )
      const ids = yield* enqueue(...Array.from({ length: 400 }, () => ({ runIn: Duration.hours(1) })))
      yield* sql`UPDATE lanekeeper.timed SET run_at = now() - interval '1 second'`
      const drain = (lane: Store["Service"]) =>
        lane.promote({ limit: 10 }).pipe(Effect.repeat({ while: ({ ready }) => ready > 0 }))
      yield* Effect.forEach(lanes, drain, { concurrency: "unbounded" })
      yield* isAt("ready", ...ids)
    })
  )

  test(
    "rescues all others while a handler's own transaction keeps one job's end, and leaves that one to it [LK-B9, LK-G2]",
    Effect.gen(function* () {
      const { claim, declareDead, enqueue, finish, isAt, register, store } = yield* world
      const sql = yield* PgClient.PgClient
      const client = PgClient.layer({ url: Redacted.make(yield* maintainer) })
      const stores = Context.get(
        yield* Layer.build(StoreConnections.layerPostgres().pipe(Layer.provide(client))),
        StoreConnections
      )
      const lane = yield* stores.open({
        name: "impatient",
        connections: 1,
        statementTimeout: Duration.seconds(20),
        lockTimeout: Duration.millis(50)
      })
      const worker = yield* register
      const [kept, shares, other] = yield* enqueue({}, {}, {})
      const { jobs } = yield* claim(worker, 2)
      yield* claim(worker, 1)
      yield* declareDead(worker)
      const rescue = lane.rescueWorker(worker, { limit: 10, crashBudget: 3 })
      yield* sql.withTransaction(
        Effect.gen(function* () {
          assert.strictEqual(yield* finish(worker, jobs[0]!, completed), "accepted")
          assert.strictEqual((yield* rescue).ready, 2)
          // Nothing but that one is left: it is reported as busy, and tried again.
          assert.strictEqual((yield* Effect.flip(rescue)).reason._tag, "LockTimeoutError")
        })
      )
      assert.strictEqual((yield* rescue).ready, 0)
      yield* isAt("completed", kept!)
      yield* isAt("ready", shares!, other!)
      assert.deepStrictEqual(yield* store.watch({ staleAfter: Duration.hours(1) }), [])
    })
  )

  test(
    "is one layer in an Effect app, which needs no handlers, and ends with the app [LK-A3, LK-A15]",
    Effect.gen(function* () {
      const { isAt, store, ...rest } = yield* world
      const { url } = yield* TestDatabase
      // Nothing but the app's own client is left to provide.
      const app: Layer.Layer<Runtime, unknown> = Lanekeeper.layerMaintenanceOnly().pipe(
        Layer.provide(Lanekeeper.layerPostgres()),
        Layer.provide(PgClient.layer({ url: Redacted.make(url), applicationName: "the app" })),
        Layer.fresh
      )
      const fiber = yield* Effect.forkScoped(Layer.launch(app))
      yield* eventually(store.leader, ({ holder }) => Option.isSome(holder))
      const [id] = yield* rest.enqueue({ runIn: Duration.millis(1) })
      yield* eventually(store.place(id!), (place) => Option.getOrNull(place) === "ready")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* store.leader).holder, Option.none())
      const sql = yield* PgClient.PgClient
      const left = sql`SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND (application_name = 'the app' OR application_name LIKE 'lanekeeper %')`
      yield* eventually(left, (rows) => rows.length === 0)
      yield* isAt("ready", id!)
    })
  )

  test(
    "has the statements of its lanes cancelled on the server when it loses the lead [LK-B3]",
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const { url } = yield* TestDatabase
      yield* Layer.build(layerMaintenanceOnly().pipe(Layer.provide(ground(url))))
      const { leader } = (yield* world).store
      yield* eventually(leader, ({ holder }) => Option.isSome(holder))
      const observer = yield* (yield* TestDatabase).connect
      const waiting = Effect.map(
        observer.query(`SELECT pid FROM pg_stat_activity WHERE datname = current_database()
          AND application_name = 'lanekeeper maintenance promote' AND wait_event_type = 'Lock'`),
        ({ rows }) => rows.map(({ pid }) => pid)
      )
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE lanekeeper.timed IN ACCESS EXCLUSIVE MODE`
          yield* eventually(waiting, (pids) => pids.length > 0)
          const before = yield* waiting
          yield* observer.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'lanekeeper maintenance leader'`)
          yield* eventually(waiting, (pids) => !pids.some((pid) => before.includes(pid)))
        })
      )
    })
  )

  test(
    "promotes on time while everything of another class waits for a lock [LK-B6]",
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const { url } = yield* TestDatabase
      const { enqueue, store } = yield* world
      yield* Layer.build(layerMaintenanceOnly({ grace: 0 }).pipe(Layer.provide(ground(url))))
      const observer = yield* (yield* TestDatabase).connect
      const wedged = observer.query(`SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'lanekeeper maintenance hygiene' AND wait_event_type = 'Lock'`)
      const ids = yield* enqueue({ runIn: Duration.hours(1) })
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE lanekeeper.lane_run IN ACCESS EXCLUSIVE MODE`
          yield* eventually(wedged, ({ rowCount }) => rowCount > 0)
          yield* observer.query("UPDATE lanekeeper.timed SET run_at = clock_timestamp()")
          yield* eventually(observer.query("SELECT FROM lanekeeper.timed"), ({ rowCount }) => rowCount === 0)
          assert.isAbove((yield* wedged).rowCount, 0)
        })
      )
      assert.deepStrictEqual(yield* store.place(ids[0]!), Option.some("ready"))
    })
  )

  test(
    "promotes on time while every rescue waits for a lock, and wakes workers on the connections it has [LK-B6, LK-K8]",
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const { url } = yield* TestDatabase
      const { enqueue } = yield* world
      const base = PgClient.layer({ url: Redacted.make(url), applicationName: "the rest", idleTimeout: "1 second" })
      yield* Layer.build(
        layerMaintenanceOnly({ grace: 0 }).pipe(Layer.provide(Lanekeeper.layerPostgres()), Layer.provide(base))
      )
      const database = yield* TestDatabase
      const observer = yield* database.connect
      const heard = yield* (yield* database.connect).listen("lanekeeper_wake")
      const named = (condition: string) =>
        Effect.map(
          observer.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND ${condition}`),
          ({ rowCount }) => rowCount
        )
      const wedged = named("application_name = 'lanekeeper maintenance user-visible' AND wait_event_type = 'Lock'")
      yield* enqueue({ runIn: Duration.hours(1), queue: "late" })
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE lanekeeper.wait, lanekeeper.watch, lanekeeper.lease IN ACCESS EXCLUSIVE MODE`
          yield* eventually(wedged, (count) => count > 0)
          yield* eventually(named("application_name = 'the rest'"), (count) => count === 0)
          yield* observer.query("UPDATE lanekeeper.timed SET run_at = clock_timestamp()")
          assert.strictEqual((yield* Queue.take(heard)).payload, "late")
          assert.strictEqual(yield* named("application_name = 'the rest'"), 0)
          assert.isAtMost(yield* named("application_name LIKE 'lanekeeper %'"), 5)
        })
      )
    })
  )

  test(
    "keeps a row of itself, leading or not, and takes it back when it ends [LK-D10]",
    Effect.gen(function* () {
      const { store } = yield* world
      const url = yield* maintainer
      const scope = yield* Scope.make()
      const app = Layer.fresh(layerMaintenanceOnly({ heartbeat: "100 millis", staleAfter: "1 second" }))
      yield* Layer.build(app.pipe(Layer.provide(ground(url)))).pipe(Scope.provide(scope))
      yield* eventually(store.leader, ({ holder }) => Option.isSome(holder))
      const second = yield* Scope.make()
      yield* Layer.build(app.pipe(Layer.provide(ground(url)))).pipe(Scope.provide(second))
      const [row] = yield* eventually(store.processes, (rows) => rows.length === 2)
      assert.deepInclude(row!, { role: "maintenance", leads: true, declaredDead: false })
      assert.include(row!.lanes, "promote")
      assert.match(Option.getOrThrow(row!.version), /^\d+\.\d+\.\d+/)
      assert.deepStrictEqual(yield* store.workers, [])
      const sql = yield* PgClient.PgClient
      yield* sql`UPDATE lanekeeper.worker SET declared_dead_at = clock_timestamp()`
      yield* eventually(store.processes, (rows) => rows.filter(({ declaredDead }) => !declaredDead).length === 2)
      yield* sql`DELETE FROM lanekeeper.worker WHERE declared_dead_at IS NOT NULL`
      yield* Scope.close(second, Exit.void)
      assert.lengthOf(yield* store.processes, 1)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* store.processes, [])
    })
  )

  test(
    "fails to be built where there is no schema, with a sentence that says what to do [LK-A7]",
    Effect.gen(function* () {
      const { name } = yield* TestDatabase
      const sql = yield* PgClient.PgClient
      yield* sql.unsafe("DROP SCHEMA lanekeeper CASCADE")
      const error = yield* Effect.flip(Layer.build(layerMaintenanceOnly().pipe(Layer.provide(ground(urlTo(name))))))
      assert.strictEqual((error as Error).message, "The database has no schema lanekeeper: run `lanekeeper migrate`")
      yield* Migrations.migrate()
    })
  )
})
