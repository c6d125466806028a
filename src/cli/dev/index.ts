import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { serving } from "../ending.ts"
import { durationFlag, jsonFlag, schemaFlag } from "../flags.ts"

export const dev = Command.make(
  "dev",
  {
    app: Flag.String("app").pipe(
      Flag.withDescription("The module with your handlers, instead of the demonstration"),
      Flag.optional
    ),
    for: durationFlag("for", "How long; until Ctrl-C without it", "20s"),
    schema: schemaFlag,
    json: jsonFlag
  },
  Effect.fn(function* (flags) {
    const { run } = yield* Effect.promise(() => import("./run.ts"))
    yield* run({
      app: Option.getOrUndefined(flags.app),
      length: Option.getOrElse(flags.for, () => Duration.infinity),
      schema: flags.schema,
      quiet: flags.json,
      finish: (summary, told) => Console.log(flags.json ? JSON.stringify(told) : `\n${summary}`)
    }).pipe(serving)
  })
).pipe(
  Command.withDescription(
    "Run all of it here: a database (the one of DATABASE_URL, else one for this run), workers, maintenance, and jobs that succeed, fail, wait, die and are rescued"
  ),
  Command.withExamples([
    { command: "lanekeeper dev", description: "A live view, until Ctrl-C" },
    { command: "lanekeeper dev --for 20s", description: "A demonstration that ends by itself" },
    { command: "lanekeeper dev --app ./dist/jobs.js", description: "Your own handlers" }
  ])
)
