/** Reads what the commands take from flags and environment, and reports every fault at once. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
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

const variable = <A>(name: string, parse: (text: string) => Result.Result<A, string>): Read<A | undefined> =>
  Effect.map(
    Effect.orDie(Config.option(Config.String(name))),
    Option.match({
      onNone: () => Result.succeed(undefined),
      onSome: (text) => Result.mapError(parse(text), (rule) => `${name} is "${text}": ${rule}`)
    })
  )

/** Undefined when it is not set. */
export const durationOf = (name: string): Read<Duration.Duration | undefined> =>
  variable(name, (text) => {
    const duration = Duration.fromInput(text as Duration.Input)
    return Option.isSome(duration) && Duration.isPositive(duration.value)
      ? Result.succeed(duration.value)
      : Result.fail('a duration longer than nothing is a number and a unit, such as "500 millis" or "30 seconds"')
  })

export const wholeNumberOf = (name: string): Read<number | undefined> =>
  variable(name, (text) =>
    /^\d{1,6}$/.test(text) ? Result.succeed(Number(text)) : Result.fail("a whole number from 0 is wanted")
  )

export const oneOf = <const Choice extends string>(
  name: string,
  choices: readonly [Choice, ...ReadonlyArray<Choice>]
): Read<Choice> =>
  Effect.map(
    variable(name, (text) => {
      const choice = choices.find((one) => one === text)
      return choice === undefined ? Result.fail(`it is ${choices.join(" or ")}`) : Result.succeed(choice)
    }),
    Result.map((choice) => choice ?? choices[0])
  )

/** A connection string that is not shown when it is wrong, for it can hold a password. */
export const directUrl: Read<Redacted.Redacted<string> | undefined> = Effect.map(
  Effect.orDie(Config.option(Config.Redacted("LANEKEEPER_DIRECT_URL"))),
  Option.match({
    onNone: () => Result.succeed(undefined),
    onSome: (url) =>
      /^postgres(ql)?:\/\//.test(Redacted.value(url))
        ? Result.succeed(url)
        : Result.fail(
            "LANEKEEPER_DIRECT_URL is no connection string (it is not shown here): it begins with postgres://"
          )
  })
)

/** What lanes are told, for those who run them. */
export const laneOptions = {
  heartbeat: durationOf("LANEKEEPER_HEARTBEAT"),
  staleAfter: durationOf("LANEKEEPER_STALE_AFTER"),
  crashBudget: wholeNumberOf("LANEKEEPER_CRASH_BUDGET")
}

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
