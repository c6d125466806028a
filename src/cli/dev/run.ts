/** Sets up the database and the processes of `dev`, shows what happens, and sums it up when all have ended. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { fileURLToPath } from "node:url"
import { Client } from "../../Client.ts"
import { DevelopmentDatabase } from "../../DevelopmentDatabase.ts"
import { layerPostgres } from "../../roles/ground.ts"
import * as Settings from "../../Settings.ts"
import * as Migrations from "../../store/postgres/Migrations.ts"
import { SchemaName } from "../../store/postgres/SchemaName.ts"
import { type Member, start } from "./Company.ts"
import type { DevSummary } from "../shapes.ts"
import { look, type Naming, type Seen, summary } from "./show.ts"
import { makeStageView } from "./StageView.ts"

export interface DevOptions {
  readonly app: string | undefined
  readonly length: Duration.Duration
  readonly schema: Option.Option<string>
  /** Says nothing on the way: only the summary is wanted. */
  readonly quiet: boolean
  /** Told once, when all have ended: by themselves, or because somebody wants it to end. */
  readonly finish: (summary: string, told: typeof DevSummary.Type) => Effect.Effect<void>
}

/** Short, so that a rescue is seen while somebody looks. In earnest they would cost rescues that nobody needs. */
const short = { heartbeat: "500 millis", staleAfter: "3 seconds" } as const

const shortly = {
  LANEKEEPER_HEARTBEAT: short.heartbeat,
  LANEKEEPER_STALE_AFTER: short.staleAfter,
  LANEKEEPER_LANES: "rescue-stale=1 second,stats=2 seconds",
  LANEKEEPER_DRAIN: "5 seconds"
}

const sample = fileURLToPath(new URL("./sample.js", import.meta.url))

/** A database that others use is not the place for a demonstration's jobs, unless somebody says so. */
const schemaOf = Effect.fnUntraced(function* (flag: Option.Option<string>, embedded: boolean, demonstrates: boolean) {
  const held = yield* Settings.look(Settings.schema, flag)
  if (held.source === "default" && !embedded && demonstrates) return SchemaName.make("lanekeeper_demo")
  return (yield* Settings.read({ schema: Settings.schema }, { schema: flag })).schema
})

export const run = Effect.fn("dev")(function* (options: DevOptions) {
  const demonstrates = options.app === undefined
  const { embedded, url } = yield* DevelopmentDatabase.make()
  const schema = yield* schemaOf(options.schema, embedded, demonstrates)
  const client = yield* Layer.build(PgClient.layer({ url, applicationName: "lanekeeper dev", maxConnections: 2 }))
  const view = yield* makeStageView(options.quiet)

  return yield* Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const { version } = yield* Migrations.migrate({ schema })
    const [server] = yield* sql<{ readonly version: string }>`SELECT current_setting('server_version') AS version`
    yield* view.keep(
      `PostgreSQL ${server!.version}, ${embedded ? "started for this run" : "from DATABASE_URL"}; schema ${schema} is at version ${version}`
    )
    if (embedded) yield* view.keep(`DATABASE_URL=${Redacted.value(url)}`)
    const ground = Layer.provideMerge(Client.layer, layerPostgres({ schema }))
    return yield* perform({ ...options, demonstrates, schema, url, view }).pipe(Effect.provide(ground))
  }).pipe(Effect.provideContext(client))
}, Effect.scoped)

interface Performance extends Omit<DevOptions, "schema"> {
  readonly demonstrates: boolean
  readonly schema: SchemaName
  readonly url: Redacted.Redacted
  readonly view: Effect.Success<ReturnType<typeof makeStageView>>
}

const perform = Effect.fnUntraced(function* (performance: Performance) {
  const { app, demonstrates, length, schema, url, view } = performance
  const sql = yield* PgClient.PgClient
  const began = yield* Clock.currentTimeMillis
  const members: Array<Member> = []
  const naming: Naming = (name) => members.find(({ pid }) => name.endsWith(`:${pid}`))?.name ?? name
  const env = {
    DATABASE_URL: Redacted.value(url),
    LANEKEEPER_SCHEMA: schema,
    LANEKEEPER_LOG_FORMAT: "logfmt",
    ...(demonstrates ? shortly : {})
  }
  const join = (name: string, args: ReadonlyArray<string>, onLine?: (line: string) => void) =>
    Effect.tap(start(name, args, env, onLine), (member) => Effect.sync(() => members.push(member)))
  // What an application says is what its author looks for; the demonstration says enough by itself.
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const hear = demonstrates ? undefined : (line: string) => void run(view.say(line))
  const work = (number: number) => join(`worker ${number}`, ["worker", "--app", app ?? sample], hear)

  const finish = Effect.gen(function* () {
    const seen = yield* look(sql, schema)
    const took = Duration.millis((yield* Clock.currentTimeMillis) - began)
    yield* performance.finish(summary(seen, took), told(seen, took))
  })

  yield* Effect.gen(function* () {
    const maintenance = yield* join("maintenance", ["maintenance"])
    const first = yield* work(1)
    const others = demonstrates ? [yield* work(2)] : []
    yield* view.say(`Started ${members.map(({ name, pid }) => `${name} (process ${pid})`).join(", ")}`)
    const scenes: Array<Effect.Effect<void, unknown, Effect.Services<ReturnType<typeof look>> | Client>> = []
    if (demonstrates) {
      yield* view.say(
        `Short thresholds, for the show: a heartbeat each ${short.heartbeat}, and a worker is given up after ${short.staleAfter} of silence`
      )
      const { kill, produce } = yield* Effect.promise(() => import("./story.ts"))
      const staleAfter = Duration.fromInputUnsafe(short.staleAfter)
      scenes.push(
        produce(Duration.times(length, 0.6)),
        Effect.scoped(
          kill({ victim: first, replace: work(3), staleAfter, say: view.say }).pipe(Effect.andThen(Effect.never))
        )
      )
    }
    const showing = look(sql, schema).pipe(
      Effect.flatMap((seen) => view.show(seen, naming)),
      Effect.repeat(Schedule.spaced(view.every))
    )
    const ends = [maintenance, first, ...others].map(({ unexpected }) => unexpected)
    const all = Effect.all([...scenes, showing], { concurrency: "unbounded", discard: true })
    yield* Effect.raceAllFirst([all, ...ends]).pipe(Effect.timeoutOption(length))
  }).pipe(
    Effect.scoped,
    Effect.onInterrupt(() => Effect.orDie(finish))
  )
  yield* finish
})

const told = ({ ends, leader, places, runs }: Seen, took: Duration.Duration): typeof DevSummary.Type => ({
  took: Math.round(Duration.toMillis(took)),
  places: { ...places },
  attempts: { ...ends },
  term: Number(leader.term),
  lanes: runs.map(({ error, lane, rows }) => ({ lane, rows, error }))
})
