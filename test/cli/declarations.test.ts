/** What an application declares in a module for whoever leads: where events go, and what is run beside the lanes. */
import { assert, describe } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { runCommand } from "../support/commandLine.ts"
import { main, root, start } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { TestDatabase } from "../support/TestDatabase.ts"
import { dies, Note, runNext, test } from "./world.ts"

const from = (name: string) => JSON.stringify(pathToFileURL(join(root, name)).href)

const prelude = `
  import * as Effect from ${from("node_modules/effect/dist/Effect.js")}
  import * as Layer from ${from("node_modules/effect/dist/Layer.js")}
  import { Client, Job, Lanekeeper } from ${from("dist/index.js")}
  const say = (text) => Effect.sync(() => console.log(text));`

const declarations = `
  export const events = Lanekeeper.layerEvents({
    deliver: (events) => say(events.map(({ type, kind }) => "heard: " + kind + " " + type).join())
  })
  export const hook = Effect.flatMap(Client, (client) =>
    Effect.flatMap(client.list({ place: "dead", limit: 9 }), (dead) => say("hooked: " + dead.length + " dead"))
  )`

const makeModule = Effect.fnUntraced(function* (text: string) {
  const file = join(yield* temporaryFolder, "jobs.mjs")
  yield* Effect.promise(() => writeFile(file, prelude + text))
  return file
})

describe("lanekeeper maintenance --app", () => {
  test(
    "delivers events where the module says, and runs its hook, with no handler in sight [LK-A3] [LK-D8] [LK-D11]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      yield* Note.enqueue(1, { queue: "dying" })
      yield* runNext("dying", dies)
      const env = { DATABASE_URL: url, LANEKEEPER_LANES: "hook=200 millis" }
      const app = yield* makeModule(declarations)
      const running = yield* start(process.execPath, [main, "maintenance", "--app", app], { env })
      yield* running.says("heard: note died")
      yield* running.says("hooked: 1 dead")
      yield* running.signal("SIGTERM")
      assert.strictEqual((yield* running.ended).code, 0)
    })
  )

  test(
    "says which export of which file cannot be used, and that handlers are a worker's [LK-A3]",
    Effect.gen(function* () {
      const refusal = Effect.fnUntraced(function* (command: string, text: string) {
        const file = yield* makeModule(text)
        const DATABASE_URL = "postgres://nobody@127.0.0.1:1/nowhere"
        const { exit } = yield* runCommand([command, "--app", file], { DATABASE_URL })
        const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
        return error instanceof Error ? error.message.replaceAll(file, "jobs.mjs") : assert.fail(JSON.stringify(exit))
      })
      assert.strictEqual(
        yield* refusal("maintenance", "export const handlers = Layer.empty"),
        "jobs.mjs exports neither `events` nor `hook`, and maintenance runs nothing else of an application: leave --app out"
      )
      for (const command of ["maintenance", "worker"]) {
        assert.strictEqual(
          yield* refusal(command, "export const handlers = Layer.empty; export const events = () => 1"),
          "jobs.mjs exports `events`, which is no Layer: export what `Lanekeeper.layerEvents` makes, or leave it out"
        )
        assert.strictEqual(
          yield* refusal(command, "export const handlers = Layer.empty; export const hook = () => 1"),
          "jobs.mjs exports `hook`, which is no Effect: export an Effect, or leave it out"
        )
      }
    })
  )
})

describe("lanekeeper worker --app", () => {
  test(
    "delivers events and runs the hook of its module, too [LK-A3] [LK-D8] [LK-D11]",
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const app = yield* makeModule(`${declarations}
        const Doomed = Job.make("doomed", { payload: {}, onFailure: () => "dead" })
        export const handlers = Doomed.handle(() => Effect.die("no"))`)
      const env = { DATABASE_URL: url, LANEKEEPER_LANES: "hook=200 millis" }
      const running = yield* start(process.execPath, [main, "worker", "--app", app], { env })
      yield* Note.enqueue(1, { queue: "dying" })
      yield* runNext("dying", dies)
      yield* running.says("heard: note died")
      yield* running.says("hooked: 1 dead")
    })
  )
})
