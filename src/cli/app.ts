/** Loads the module of an application that `--app` names, and says what is wrong with it in words of that module. */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { errorExitCode } from "effect/Runtime"
import * as Schema from "effect/Schema"
import type { SqlClient } from "effect/sql/SqlClient"
import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { Client } from "../Client.ts"
import type { DispatcherOptions } from "../dispatch/Settings.ts"
import type { Handlers } from "../Handlers.ts"
import type { Kind } from "../Job.ts"
import type { Runtime } from "../roles/Runtime.ts"

/** What code of an application is given. What else it needs is its own to provide. */
export type Provided = Client | PgClient | SqlClient

/** What a module can export for whoever leads. */
export interface Declarations {
  /** What `Lanekeeper.layerEvents` makes: where events are delivered. */
  readonly events: Layer.Layer<never, unknown, Provided>
  /** What the lane `hook` runs. */
  readonly hook: Effect.Effect<unknown, unknown, Provided> | undefined
}

/** What a module exports for a worker. */
export interface App extends Declarations {
  readonly handlers: Layer.Layer<Handlers, unknown, Provided>
  readonly queues: DispatcherOptions["queues"]
}

/** The module cannot be used. Exits with 78. */
export class AppFault extends Schema.TaggedError<AppFault>()("AppFault", {
  file: Schema.String,
  rule: Schema.String
}) {
  override readonly [errorExitCode] = 78

  override get message() {
    return `${this.file} ${this.rule}`
  }
}

export const appFlag = Flag.String("app").pipe(
  Flag.withDescription(
    "The module with your handlers, such as ./dist/jobs.js: it exports `handlers`, and `queues`, `events` and `hook` if you like"
  )
)

export const declarationsFlag = Flag.String("app").pipe(
  Flag.withDescription(
    "A module of yours that exports `events`, where to deliver them, or a `hook` to run every minute"
  ),
  Flag.optional
)

const handlersWanted =
  "export the layers of your kinds' `handle`, such as `export const handlers = Layer.mergeAll(Email, Resize)`"

const queuesWanted = "export it as `export const queues = { email: { concurrency: 20 } }`, or leave it out"

const load = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Readonly<Record<string, unknown>>, AppFault> {
  const file = resolve(path)
  if (!existsSync(file)) {
    return yield* new AppFault({ file: path, rule: `does not exist (--app, from ${process.cwd()})` })
  }
  return yield* Effect.tryPromise({
    try: () => import(pathToFileURL(file).href),
    catch: (error) => new AppFault({ file: path, rule: `could not be loaded: ${told(error)}` })
  })
})

/** A kind whose Schemas need nothing that is provided. */
export type Loaded = Kind<string, Schema.Codec<unknown>, Schema.Codec<unknown>, Schema.Codec<unknown>>

/** A kind the module exports, by its name or one it had before. */
export const loadKind = Effect.fnUntraced(function* (path: string, name: string): Effect.fn.Return<Loaded, AppFault> {
  const kinds = Object.values(yield* load(path)).filter(isKind)
  const kind = kinds.find((one) => one.name === name || one.aliases.includes(name))
  if (kind !== undefined) return kind
  const there = kinds.length === 0 ? "no kind" : `only ${kinds.map((one) => one.name).join(", ")}`
  const rule = `exports ${there}, and not ${name}: export what \`Job.make\` made, such as \`export const SendEmail = …\``
  return yield* new AppFault({ file: path, rule })
})

const isKind = (value: unknown): value is Loaded =>
  Predicate.isReadonlyObject(value) && Schema.isSchema(value.payload) && typeof value.decode === "function"

export const loadApp = Effect.fnUntraced(function* (path: string): Effect.fn.Return<App, AppFault> {
  const fault = (rule: string) => new AppFault({ file: path, rule })
  const module = yield* load(path)
  const { handlers, queues } = module
  if (handlers === undefined) return yield* fault(`has no export \`handlers\`: ${handlersWanted}`)
  if (!Layer.isLayer(handlers)) return yield* fault(`exports \`handlers\`, which is no Layer: ${handlersWanted}`)
  if (!isQueues(queues)) return yield* fault(`exports \`queues\`, which is not what it can be: ${queuesWanted}`)
  return { handlers: handlers as App["handlers"], queues, ...(yield* declarationsIn(path, module)) }
})

const eventsWanted = "export what `Lanekeeper.layerEvents` makes, or leave it out"

const hookWanted = "export an Effect, or leave it out"

const declarationsIn = Effect.fnUntraced(function* (
  path: string,
  { events = Layer.empty, hook }: Readonly<Record<string, unknown>>
): Effect.fn.Return<Declarations, AppFault> {
  const fault = (rule: string) => new AppFault({ file: path, rule })
  if (!Layer.isLayer(events)) return yield* fault(`exports \`events\`, which is no Layer: ${eventsWanted}`)
  if (hook !== undefined && !Effect.isEffect(hook)) {
    return yield* fault(`exports \`hook\`, which is no Effect: ${hookWanted}`)
  }
  return { events: events as Declarations["events"], hook: hook as Declarations["hook"] }
})

/** For a role without handlers. */
export const loadDeclarations = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Declarations, AppFault> {
  const module = yield* load(path)
  if (module["events"] !== undefined || module["hook"] !== undefined) return yield* declarationsIn(path, module)
  const rule =
    "exports neither `events` nor `hook`, and maintenance runs nothing else of an application: leave --app out"
  return yield* new AppFault({ file: path, rule })
})

/** A role with what is declared for it. */
export const declaring = <E, R>(
  { events, hook }: Declarations,
  role: (options: { readonly hook: Effect.Effect<unknown, unknown> | undefined }) => Layer.Layer<Runtime, E, R>
) =>
  Layer.unwrap(
    Effect.map(Effect.context<Provided>(), (context) =>
      role({ hook: hook === undefined ? undefined : Effect.provideContext(hook, context) })
    )
  ).pipe(Layer.provide(events))

/** Where in the application it happened is in the stack, and what happened may be in the cause. */
const told = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const { cause, stack } = error
  return `${stack ?? error.message}${cause === undefined ? "" : `\ncaused by ${told(cause)}`}`
}

const isQueues = (value: unknown): value is App["queues"] =>
  value === undefined || (Predicate.isReadonlyObject(value) && Object.values(value).every(isQueue))

const isQueue = (value: unknown) =>
  Predicate.isReadonlyObject(value) &&
  (!("concurrency" in value) || value.concurrency === undefined || typeof value.concurrency === "number")
