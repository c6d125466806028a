/**
 * Serves what orchestrators and Prometheus ask of a role: whether it lives, whether it is ready, and its metrics.
 *
 * It lives as long as it answers. It is ready when its start is done, the database answers it and, while it leads, the
 * lanes users wait for succeed in time: a follower is ready for the lead, and who leads late should be looked at.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as Schema from "effect/Schema"
import { createServer } from "node:http"
import { lanes } from "../lanes/index.ts"
import { Runtime, type Status } from "../roles/Runtime.ts"
import * as Settings from "../Settings.ts"
import type { Term } from "../store/Store.ts"
import { makeObserver } from "../Telemetry.ts"
import { watchReach } from "./reach.ts"

export interface HealthOptions {
  /** 0 takes a free one. */
  readonly port: number
  /** Defaults to 127.0.0.1: nobody else can ask. */
  readonly host?: string | undefined
}

/** The address cannot be listened on. */
export class HealthNotServed extends Schema.TaggedError<HealthNotServed>()("HealthNotServed", {
  address: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Health cannot be served on ${this.address} (${this.reason}): choose another LANEKEEPER_HEALTH_PORT`
  }
}

/** Never for less: a garbage collection is no lateness. */
const patience = Duration.seconds(10)

const userVisible = lanes.filter((lane) => lane.class === "user-visible")

/** Which lanes of a leader have not succeeded for three intervals. One that never has is given as long from the term's begin. */
const makeLate = () => {
  let current: { readonly term: Term; readonly since: number } | undefined
  return ({ lanes, term }: Status, now: number): ReadonlyArray<string> => {
    if (Option.isNone(term)) return []
    if (current?.term !== term.value) current = { term: term.value, since: now }
    const { since } = current
    return userVisible.flatMap(({ interval, name }) => {
      const status = lanes.find((lane) => lane.name === name)
      const succeeded = Option.match(status?.lastSuccess ?? Option.none(), {
        onNone: () => since,
        onSome: ({ epochMilliseconds }) => Math.max(since, epochMilliseconds)
      })
      const allowed = Duration.max(patience, Duration.times(interval, 3))
      return now - succeeded > Duration.toMillis(allowed) ? [name] : []
    })
  }
}

const delayed = (late: ReadonlyArray<string>) =>
  late.length === 0 ? null : `It leads, and lanes are late (${late.join(", ")}): look for them in its log`

const routes = Layer.unwrap(
  Effect.gen(function* () {
    const { status } = yield* Runtime
    const observe = yield* makeObserver
    const { away } = yield* watchReach
    const lateOf = makeLate()
    const readiness = Effect.gen(function* () {
      const { phase, ...seen } = yield* status
      const late = lateOf({ phase, ...seen }, yield* Clock.currentTimeMillis)
      const reason = phase !== "running" ? `It is ${phase}` : ((yield* away) ?? delayed(late))
      const leading = Option.getOrNull(Option.map(seen.term, Number))
      return HttpServerResponse.jsonUnsafe(
        { ready: reason === null, reason, phase, leading, late },
        { status: reason === null ? 200 : 503 }
      )
    })
    const metrics = Effect.gen(function* () {
      // A database that is away must not take this process's own figures with it.
      yield* observe.pipe(
        Effect.timeout("2 seconds"),
        Effect.catchCause((cause) => Effect.logDebug("The store was not observed", cause))
      )
      return HttpServerResponse.text(yield* PrometheusMetrics.format(), {
        contentType: "text/plain; version=0.0.4; charset=utf-8"
      })
    })
    return Layer.mergeAll(
      HttpRouter.add("GET", "/healthz", Effect.succeed(HttpServerResponse.text("alive\n"))),
      HttpRouter.add("GET", "/readyz", readiness),
      HttpRouter.add("GET", "/metrics", metrics)
    )
  })
)

/** Serves for as long as its scope is open, beside the role whose `Runtime` it is given. */
export const layer = ({ host = Settings.healthHost.fallback.shown, port }: HealthOptions) =>
  Layer.effectDiscard(HttpServer.addressFormattedWith((address) => Effect.logInfo("Serving health", { address }))).pipe(
    Layer.provideMerge(HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })),
    Layer.provideMerge(
      Layer.catchTag(NodeHttpServer.layer(createServer, { host, port }), "ServeError", ({ cause }) =>
        Layer.effect(HttpServer.HttpServer, new HealthNotServed({ address: `${host}:${port}`, reason: String(cause) }))
      )
    )
  )
