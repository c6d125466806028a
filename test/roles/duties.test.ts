/** The table of roles is what the code has: a role that is added says what it does, in all three places. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { lanekeeper } from "../../src/cli/commands.ts"
import { Client } from "../../src/Client.ts"
import * as Job from "../../src/Job.ts"
import * as Lanekeeper from "../../src/Lanekeeper.ts"
import { duties, rows } from "../../src/roles/duties.ts"
import { Store } from "../../src/store/Store.ts"
import { root } from "../support/processes.ts"

const notRoles = ["Runtime", "ground", "duties"]

/** Files of roles; the client is a service and no more. */
const files = readdirSync(join(root, "src/roles"))
  .map((file) => file.replace(".ts", ""))
  .filter((file) => !notRoles.includes(file))

type Ground = Layer.Success<typeof Lanekeeper.layerMemory>

const Greet = Job.make("greet", { payload: {} })

/** What an app provides of each role. */
const layers: Readonly<Record<string, Layer.Layer<never, unknown, Ground>>> = {
  worker: Layer.provide(
    Lanekeeper.layerWorker(),
    Greet.handle(() => Effect.void)
  ),
  maintenance: Lanekeeper.layerMaintenanceOnly(),
  client: Lanekeeper.layerClient
}

/** What becomes of a ready job and of the lead while one role is there, alone, and whether it can enqueue. */
const watched = (role: Layer.Layer<never, unknown, Ground>) =>
  Effect.gen(function* () {
    const ground = yield* Layer.build(Layer.fresh(Lanekeeper.layerMemory))
    const provided = yield* Layer.build(Layer.provide(role, Layer.succeedContext(ground)))
    const store = Context.get(ground, Store)
    const [id] = yield* store.enqueue([{ kind: "greet", queue: "default", priority: 5, payload: {} }])
    yield* TestClock.adjust("5 seconds")
    return {
      enqueues: Option.isSome(Context.getOption(provided, Client)),
      claims: Option.contains(yield* store.place(id!), "completed"),
      leads: Option.isSome((yield* store.leader).holder)
    }
  }).pipe(Effect.scoped)

const readme = () => {
  const [, rest = ""] = readFileSync(join(root, "README.md"), "utf8").split("\n| role | enqueues and reads |")
  const [head = "", , ...lines] = `| role | enqueues and reads |${rest.split("\n\n")[0]}`.split("\n")
  const cells = (line: string) => line.slice(2, -2).split(" | ")
  return lines.map((line) => Object.fromEntries(cells(head).map((name, index) => [name, cells(line)[index]])))
}

describe("The table of roles", () => {
  it("has a line for every role there is, and for no other [LK-A13]", () => {
    const roles = duties.map(({ role }) => role)
    assert.deepStrictEqual(roles.toSorted(), [...files, "client"].toSorted())
    assert.deepStrictEqual(roles.toSorted(), Object.keys(layers).toSorted())
  })

  for (const [role, layer] of Object.entries(layers)) {
    it.effect(`says of ${role} what its layer does and does not do [LK-A1, LK-A4, LK-A13]`, () =>
      Effect.gen(function* () {
        const { needs, role: _, ...says } = duties.find((one) => one.role === role)!
        assert.deepStrictEqual(yield* watched(layer), says)
        assert.strictEqual(says.claims, needs === "your handlers")
      })
    )
  }

  it("is the one the README and --help show [LK-A13]", () => {
    assert.deepStrictEqual<unknown>(readme(), rows)
    const help = String(lanekeeper.description)
    for (const row of rows) {
      const line = help.split("\n").find((line) => line.trim().startsWith(row["role"]!))
      assert.deepStrictEqual(line?.trim().split(/ {2,}/), Object.values(row))
    }
  })
})
