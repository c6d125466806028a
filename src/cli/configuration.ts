/** Reads what the commands take from flags and environment, and reports every fault at once. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as Flag from "effect/cli/Flag"
import { defaultName, SchemaName } from "../store/postgres/SchemaName.ts"

/** What was configured cannot work. Exits with 78. */
export class ConfigurationFault extends Schema.TaggedError<ConfigurationFault>()("ConfigurationFault", {
  faults: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 78

  override get message() {
    return this.faults.join("\n")
  }
}

export const schemaFlag = Flag.String("schema").pipe(
  Flag.withDescription("The PostgreSQL schema; else LANEKEEPER_SCHEMA, else lanekeeper"),
  Flag.optional
)

/** A value, or what is wrong with it. */
type Read<A> = Effect.Effect<Result.Result<A, string>>

export const databaseUrl: Read<Redacted.Redacted<string>> = Effect.map(
  Effect.orDie(Config.option(Config.Redacted("DATABASE_URL"))),
  Option.match({
    onNone: () =>
      Result.fail(
        "DATABASE_URL is not set: give it a connection string, such as postgres://user:password@localhost/app"
      ),
    onSome: (url) =>
      /^postgres(ql)?:\/\//.test(Redacted.value(url))
        ? Result.succeed(url)
        : Result.fail("DATABASE_URL is no connection string (it is not shown here): it begins with postgres://")
  })
)

export const schemaName = Effect.fnUntraced(function* (flag: Option.Option<string>) {
  const variable = yield* Effect.orDie(Config.option(Config.String("LANEKEEPER_SCHEMA")))
  const [name, from] = Option.isSome(flag) ? [flag, "--schema"] : [variable, "LANEKEEPER_SCHEMA"]
  if (Option.isNone(name)) return Result.succeed(defaultName)
  return Result.mapError(
    Schema.decodeResult(SchemaName)(name.value),
    () => `${from} is "${name.value}": a schema name is 1 to 48 of a-z, 0-9 and _, not beginning with a digit or pg_`
  )
})

/** Reads all, or fails with all their faults. */
export const configured = <Values extends Readonly<Record<string, unknown>>>(reads: {
  readonly [Name in keyof Values]: Read<Values[Name]>
}): Effect.Effect<Values, ConfigurationFault> =>
  Effect.gen(function* () {
    const values: Array<readonly [string, unknown]> = []
    const faults: Array<string> = []
    for (const [name, read] of Object.entries<Read<unknown>>(reads)) {
      const result = yield* read
      if (Result.isSuccess(result)) values.push([name, result.success])
      else faults.push(result.failure)
    }
    if (faults.length > 0) return yield* new ConfigurationFault({ faults })
    return Object.fromEntries(values) as Values
  })
