/**
 * Finds a database to develop and test with: the one DATABASE_URL names, else an embedded server for as long as the
 * scope is open. Nothing that serves users should depend on it: there a missing DATABASE_URL is a fault.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { EmbeddedPostgres, type Options } from "./EmbeddedPostgres.ts"

export class DevelopmentDatabase extends Context.Service<
  DevelopmentDatabase,
  {
    readonly url: Redacted.Redacted<string>
    /** Whether the database vanishes with the scope. */
    readonly embedded: boolean
  }
>()("lanekeeper/DevelopmentDatabase") {
  static readonly make = Effect.fn("DevelopmentDatabase.make")(function* (options: Options = {}) {
    const given = yield* Config.option(Config.Redacted("DATABASE_URL"))
    // A blank variable is how an environment file says "none".
    if (Option.isSome(given) && Redacted.value(given.value) !== "") return { url: given.value, embedded: false }
    const { url } = yield* EmbeddedPostgres.make(options)
    return { url, embedded: true }
  })

  static readonly layer = (options?: Options) => Layer.effect(this, this.make(options))
}
