/** One thing that can be configured: its names, what it means, its rule, and how a text becomes its value. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"

export interface Setting<A> {
  /** In the environment. */
  readonly variable: string
  /** In code, where it has one. */
  readonly option?: string | undefined
  readonly flag?: string | undefined
  readonly meaning: string
  /** Who reads it. */
  readonly readers: string
  /** What holds when nothing is said. Without `value` something must be said. */
  readonly fallback: { readonly shown: string; readonly value?: A }
  /** For the one who has to say something. */
  readonly example?: string | undefined
  /** Never shown, in an error neither. */
  readonly secret?: boolean | undefined
  /** It is longer than this one, where both are read. */
  readonly longerThan?: Setting<Duration.Duration> | undefined
  /** The value, or the rule that the text breaks. */
  readonly parse: (text: string) => Result.Result<A, string>
}

export type Source = "flag" | "environment" | "default"

/** What holds, and who said so. Without `value` nothing was said and nothing holds by itself. */
export interface Held<A> {
  readonly setting: Setting<A>
  readonly source: Source
  readonly text: string | undefined
  readonly value: Result.Result<A, string>
}

/** What was configured cannot work. Exits with 78. */
export class ConfigurationFault extends Schema.TaggedError<ConfigurationFault>()("ConfigurationFault", {
  faults: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = 78

  override get message() {
    return this.faults.join("\n")
  }
}

/** What a flag says, else the environment, else the default. A blank variable is how an environment file says "none". */
export const look = Effect.fnUntraced(function* <A>(
  setting: Setting<A>,
  flag: Option.Option<string> = Option.none()
): Effect.fn.Return<Held<A>> {
  const variable = yield* Effect.orDie(Config.option(Config.String(setting.variable)))
  const said = Option.filter(variable, (text) => text !== "")
  const [source, text, name]: [Source, string | undefined, string] = Option.isSome(flag)
    ? ["flag", flag.value, setting.flag ?? setting.variable]
    : Option.isSome(said)
      ? ["environment", said.value, setting.variable]
      : ["default", undefined, setting.variable]
  if (text !== undefined) {
    const value = Result.mapError(setting.parse(text), (rule) =>
      setting.secret === true
        ? `${name} (it is not shown here) cannot be used: ${rule}`
        : `${name} is "${text}": ${rule}`
    )
    return { setting, source, text, value }
  }
  const { example = setting.meaning, fallback } = setting
  const value: Result.Result<A, string> =
    "value" in fallback ? Result.succeed(fallback.value as A) : Result.fail(`${name} is not set: ${example}`)
  return { setting, source, text, value }
})

type Values<Settings> = { readonly [Name in keyof Settings]: Settings[Name] extends Setting<infer A> ? A : never }

/** Reads all, or fails with all their faults. */
export const read = Effect.fnUntraced(function* <Settings extends Readonly<Record<string, Setting<any>>>>(
  settings: Settings,
  flags: { readonly [Name in keyof Settings]?: Option.Option<string> } = {}
): Effect.fn.Return<Values<Settings>, ConfigurationFault> {
  const values: Record<string, unknown> = {}
  const faults: Array<string> = []
  for (const [name, setting] of Object.entries(settings)) {
    const { value } = yield* look(setting, flags[name])
    if (Result.isSuccess(value)) values[name] = value.success
    else faults.push(value.failure)
  }
  const valueOf = (wanted: Setting<any> | undefined): unknown =>
    values[Object.keys(settings).find((name) => settings[name] === wanted) ?? ""]
  for (const setting of Object.values(settings)) {
    const [own, other] = [valueOf(setting), valueOf(setting.longerThan)]
    if (!Duration.isDuration(own) || !Duration.isDuration(other) || Duration.isGreaterThan(own, other)) continue
    faults.push(
      `${setting.variable} is ${Duration.format(own)}: it is longer than ${setting.longerThan!.variable}, ${Duration.format(other)}`
    )
  }
  if (faults.length > 0) return yield* new ConfigurationFault({ faults })
  return values as Values<Settings>
})

/** As it is told to a person: a connection string without what lets anybody in. */
export const shown = ({ setting, text }: Held<unknown>): string => {
  if (text === undefined) return setting.fallback.shown
  return setting.secret === true ? withoutSecrets(text) : text
}

const withoutSecrets = (text: string) => {
  if (!URL.canParse(text)) return "(hidden)"
  const url = new URL(text)
  if (url.password !== "") url.password = "hidden"
  url.search = "" // a password can stand there as well
  return url.toString()
}

const units: Readonly<Record<string, string>> = { ms: "millis", s: "seconds", m: "minutes", h: "hours", d: "days" }

/** As Effect writes it, or with the unit's letter: `20s`. */
export const duration = (text: string) => {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text) ?? []
  const length = Duration.fromInput((number === undefined ? text : `${number} ${units[unit]}`) as Duration.Input)
  return Option.isSome(length) && Duration.isPositive(length.value)
    ? Result.succeed(length.value)
    : Result.fail('a duration longer than nothing is a number and a unit, such as "500 millis" or "30 seconds"')
}

export const wholeNumber =
  (from: number, to = 999_999) =>
  (text: string) =>
    /^\d{1,6}$/.test(text) && Number(text) >= from && Number(text) <= to
      ? Result.succeed(Number(text))
      : Result.fail(`a whole number from ${from}${to === 999_999 ? "" : ` to ${to}`} is wanted`)

export const oneOf =
  <const Choice extends string>(...choices: ReadonlyArray<Choice>) =>
  (text: string) => {
    const choice = choices.find((one) => one === text)
    return choice === undefined ? Result.fail(`it is ${choices.join(" or ")}`) : Result.succeed(choice)
  }

export const connectionString = (text: string) =>
  /^postgres(ql)?:\/\//.test(text)
    ? Result.succeed(Redacted.make(text))
    : Result.fail("a connection string begins with postgres://")
