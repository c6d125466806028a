/**
 * Lists all that can be configured. Commands read it, `lanekeeper config` shows what holds, and the README's table is
 * this list: a setting is added here and nowhere else.
 */
import * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { connectionString, duration, oneOf, type Setting, wholeNumber } from "./Setting.ts"
import { defaultName, SchemaName } from "./store/postgres/SchemaName.ts"

export * from "./Setting.ts"

const lanes = "maintenance, tick, worker"
const serving = "maintenance, worker"

export const databaseUrl: Setting<Redacted.Redacted<string>> = {
  variable: "DATABASE_URL",
  meaning: "the database",
  readers: "all",
  fallback: { shown: "none: it must be set" },
  example: "give it a connection string, such as postgres://user:password@localhost/app",
  secret: true,
  parse: connectionString
}

export const directUrl: Setting<Redacted.Redacted<string> | undefined> = {
  variable: "LANEKEEPER_DIRECT_URL",
  option: "directUrl",
  meaning: "where the server itself is reached, when `DATABASE_URL` is a pooler",
  readers: "all",
  fallback: { shown: "DATABASE_URL", value: undefined },
  secret: true,
  parse: connectionString
}

export const schema: Setting<SchemaName> = {
  variable: "LANEKEEPER_SCHEMA",
  option: "schema",
  flag: "--schema",
  meaning: "the PostgreSQL schema Lanekeeper lives in; several can share a database",
  readers: "all",
  fallback: { shown: defaultName, value: defaultName },
  parse: (text) =>
    Result.mapError(
      Schema.decodeResult(SchemaName)(text),
      () => "a schema name is 1 to 48 of a-z, 0-9 and _, not beginning with a digit or pg_"
    )
}

export const leadership: Setting<"lock" | "lease"> = {
  variable: "LANEKEEPER_LEADERSHIP",
  option: "leadership",
  meaning: "`lock`, or `lease` behind a pooler in transaction mode; the same everywhere",
  readers: serving,
  fallback: { shown: "lock", value: "lock" },
  parse: oneOf("lock", "lease")
}

const length = (
  variable: string,
  option: string | undefined,
  meaning: string,
  readers: string,
  fallback: Duration.Input
) =>
  ({
    variable,
    option,
    meaning,
    readers,
    fallback: { shown: String(fallback), value: Duration.fromInputUnsafe(fallback) },
    parse: duration
  }) satisfies Setting<Duration.Duration>

export const heartbeat = length(
  "LANEKEEPER_HEARTBEAT",
  "heartbeat",
  "how often workers say that they live",
  lanes,
  "5 seconds"
)

export const staleAfter = {
  ...length(
    "LANEKEEPER_STALE_AFTER",
    "staleAfter",
    "how long a worker may be silent before its jobs are rescued; longer than three heartbeats is wise",
    lanes,
    "30 seconds"
  ),
  longerThan: heartbeat
} satisfies Setting<Duration.Duration>

export const crashBudget = {
  variable: "LANEKEEPER_CRASH_BUDGET",
  option: "crashBudget",
  meaning: "how many times a job may be rescued; one more and it is dead",
  readers: lanes,
  fallback: { shown: "3", value: 3 },
  parse: wholeNumber(0)
} satisfies Setting<number>

/** Over the intervals that `lanes` prints. */
export const laneIntervals: Setting<Readonly<Record<string, { readonly interval: Duration.Duration }>>> = {
  variable: "LANEKEEPER_LANES",
  option: "lanes",
  meaning:
    "how often lanes run, where it is not as `lanekeeper lanes` prints it, as in `rescue-stale=1 second,stats=5 seconds`",
  readers: lanes,
  fallback: { shown: "as printed", value: {} },
  parse: (text) => {
    const entries: Array<readonly [string, { readonly interval: Duration.Duration }]> = []
    for (const one of text.split(",")) {
      const [, name = "", said = ""] = /^\s*([a-z-]+)\s*=\s*(.+?)\s*$/.exec(one) ?? []
      const interval = duration(said)
      if (Result.isFailure(interval)) return Result.fail("lanes are wanted with how often each runs, by commas")
      entries.push([name, { interval: interval.success }])
    }
    return Result.succeed(Object.fromEntries(entries))
  }
}

export const grace = length(
  "LANEKEEPER_GRACE",
  "grace",
  "how long a lane may go on with its statement when the process is stopped",
  serving,
  "10 seconds"
)

export const concurrency = {
  variable: "LANEKEEPER_CONCURRENCY",
  option: "concurrency",
  meaning: "how many attempts of a queue run at once, where `queues` does not say",
  readers: "worker",
  fallback: { shown: "10", value: 10 },
  parse: wholeNumber(1, 10_000)
} satisfies Setting<number>

/** Names, each with a concurrency or without. */
export const queues: Setting<Readonly<Record<string, { readonly concurrency?: number }>> | undefined> = {
  variable: "LANEKEEPER_QUEUES",
  option: "queues",
  meaning: "the queues to serve, as in `email=20,default`; instead of those the module of `--app` exports",
  readers: "worker",
  fallback: { shown: "those of the kinds that have a handler", value: undefined },
  parse: (text) => {
    const entries = text.split(",").map((one) => /^\s*([^=]*[^=\s])\s*(?:=\s*(\d{1,6})\s*)?$/.exec(one))
    if (entries.includes(null)) return Result.fail("names are wanted, each with a concurrency or without")
    const queues = entries.map((entry) => {
      const [, name = "", concurrency] = entry ?? []
      return [name, concurrency === undefined ? {} : { concurrency: Number(concurrency) }] as const
    })
    return Result.succeed(Object.fromEntries(queues))
  }
}

export const pollInterval = length(
  "LANEKEEPER_POLL_INTERVAL",
  "pollInterval",
  "how long until a worker looks for jobs without having been told",
  "worker",
  "1 second"
)

export const drain = length(
  "LANEKEEPER_DRAIN",
  "drain",
  "how long attempts may go on when the process is stopped, before they are interrupted and given back",
  "worker",
  "20 seconds"
)

/** Claiming takes three and the lanes four while the process leads: one is left for handlers at least. */
export const pool = {
  variable: "LANEKEEPER_POOL",
  meaning: "the connections of a worker, besides one for the lock of leaders and one to listen",
  readers: "worker",
  fallback: { shown: "15", value: 15 },
  parse: wholeNumber(8, 1_000)
} satisfies Setting<number>

export const tickBudget = length(
  "LANEKEEPER_TICK_BUDGET",
  "budget",
  "how long `tick` may take before it begins no further lane",
  "tick",
  "30 seconds"
)

export const healthPort: Setting<number | undefined> = {
  variable: "LANEKEEPER_HEALTH_PORT",
  option: "health.port",
  meaning: "where `/healthz`, `/readyz` and `/metrics` are served; 0 takes a free one",
  readers: serving,
  fallback: { shown: "not served", value: undefined },
  parse: wholeNumber(0, 65_535)
}

export const healthHost: Setting<string> = {
  variable: "LANEKEEPER_HEALTH_HOST",
  option: "health.host",
  meaning: "the address they are served on; `0.0.0.0` is every one",
  readers: serving,
  fallback: { shown: "127.0.0.1", value: "127.0.0.1" },
  parse: Result.succeed
}

export const otlpEndpoint: Setting<string | undefined> = {
  variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
  meaning: "where OpenTelemetry traces, metrics and logs are sent over HTTP; other `OTEL_*` variables hold too",
  readers: serving,
  fallback: { shown: "nowhere", value: undefined },
  parse: (text) =>
    /^https?:\/\//.test(text) && URL.canParse(text) ? Result.succeed(text) : Result.fail("it is an http URL")
}

export const logFormat: Setting<"auto" | "pretty" | "logfmt" | "json"> = {
  variable: "LANEKEEPER_LOG_FORMAT",
  flag: "--log-format",
  meaning: "`pretty`, `logfmt` or `json`; `auto` is `pretty` on a terminal and `logfmt` elsewhere",
  readers: "all",
  fallback: { shown: "auto", value: "auto" },
  parse: oneOf("auto", "pretty", "logfmt", "json")
}

export const all: ReadonlyArray<Setting<any>> = [
  databaseUrl,
  directUrl,
  schema,
  leadership,
  heartbeat,
  staleAfter,
  crashBudget,
  laneIntervals,
  grace,
  concurrency,
  queues,
  pollInterval,
  drain,
  pool,
  tickBudget,
  healthPort,
  healthHost,
  otlpEndpoint,
  logFormat
]

/** What lanes are told, for those who run them. */
export const laneSettings = { heartbeat, staleAfter, crashBudget, lanes: laneIntervals }

/** What a worker is told besides. */
export const workerSettings = { concurrency, queues, pollInterval, drain, pool }

/** What every role that serves can be told. */
export const serveSettings = { healthPort, healthHost, otlpEndpoint }

/** Where the store is, for everything that opens it. */
export const storeSettings = { url: databaseUrl, directUrl, schema, leadership }
