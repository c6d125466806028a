/** What is configured, who said so, and the one list of all there is to set. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Shapes from "../../src/cli/shapes.ts"
import { runCommand } from "../support/commandLine.ts"
import { main, root, run } from "../support/processes.ts"

const url = "postgres://app:s3cret@db.example/app?password=s3cret"

const configured = Effect.fnUntraced(function* (env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) {
  const { exit, stdout } = yield* runCommand(["config", "--json", ...args], env)
  const decode = Schema.decodeEffect(Schema.fromJsonString(Shapes.Configuration))
  const { settings, unknown } = yield* decode(stdout, { onExcessProperty: "error" })
  const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.findErrorOption(exit.cause)) : undefined
  return {
    of: (variable: string) => settings.find((setting) => setting.variable === variable),
    unknown,
    faults: error === undefined ? "" : String((error as Error).message)
  }
})

describe("lanekeeper config", () => {
  it.live("shows what holds and who said so, and hides what lets anybody in [LK-M1] [LK-N4]", () =>
    Effect.gen(function* () {
      const { faults, of } = yield* configured(
        {
          DATABASE_URL: url,
          LANEKEEPER_HEARTBEAT: "2 seconds",
          LANEKEEPER_SCHEMA: "environment",
          LANEKEEPER_GRACE: ""
        },
        "--schema=flag"
      )
      assert.strictEqual(faults, "")
      assert.deepInclude(of("LANEKEEPER_SCHEMA"), { value: "flag", from: "flag" })
      assert.deepInclude(of("LANEKEEPER_HEARTBEAT"), { value: "2 seconds", from: "environment" })
      assert.deepInclude(of("LANEKEEPER_GRACE"), { value: "10 seconds", from: "default" })
      assert.deepInclude(of("DATABASE_URL"), { value: "postgres://app:hidden@db.example/app", from: "environment" })
      const { stdout } = yield* runCommand(["config"], { DATABASE_URL: url })
      assert.match(stdout, /^variable +value +from\nDATABASE_URL +postgres:\/\/app:hidden@/)
      assert.notInclude(stdout, "s3cret")
    })
  )

  it.live("reports every fault with the variable, the value and the rule, a secret's without its value [LK-M1]", () =>
    Effect.gen(function* () {
      const { faults, of } = yield* configured({
        DATABASE_URL: "mysql://app:s3cret@db",
        LANEKEEPER_STALE_AFTER: "soon",
        LANEKEEPER_CRASH_BUDGET: "-1",
        LANEKEEPER_LANES: "rescue-stale",
        LANEKEEPER_HEALTH_PORT: "70000",
        LANEKEEPER_LEADERSHIP: "vote",
        OTEL_EXPORTER_OTLP_ENDPOINT: "localhost"
      })
      assert.deepStrictEqual(faults.split("\n"), [
        "DATABASE_URL (it is not shown here) cannot be used: a connection string begins with postgres://",
        'LANEKEEPER_LEADERSHIP is "vote": it is lock or lease',
        'LANEKEEPER_STALE_AFTER is "soon": a duration longer than nothing is a number and a unit, such as "500 millis" or "30 seconds"',
        'LANEKEEPER_CRASH_BUDGET is "-1": a whole number from 0 is wanted',
        'LANEKEEPER_LANES is "rescue-stale": lanes are wanted with how often each runs, by commas',
        'LANEKEEPER_HEALTH_PORT is "70000": a whole number from 0 to 65535 is wanted',
        'OTEL_EXPORTER_OTLP_ENDPOINT is "localhost": it is an http URL'
      ])
      assert.strictEqual(of("LANEKEEPER_LEADERSHIP")?.fault, 'LANEKEEPER_LEADERSHIP is "vote": it is lock or lease')
      const together = yield* configured({ DATABASE_URL: url, LANEKEEPER_STALE_AFTER: "5 seconds" })
      assert.match(together.faults, /it is longer than LANEKEEPER_HEARTBEAT, 5s/)
    })
  )

  it.live("names variables that nobody reads, and ends with 78 on a fault [LK-M1]", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(process.execPath, [main, "config"], {
        env: { LANEKEEPER_STALE_AFTR: "1 minute" }
      })
      assert.match(stdout, /Nobody reads .*LANEKEEPER_STALE_AFTR/)
      assert.strictEqual(code, 78)
      assert.match(stderr, /^DATABASE_URL is not set: give it a connection string, such as .*\n$/)
    })
  )

  it.live("lists what there is to set, as the README does [LK-M1]", () =>
    Effect.gen(function* () {
      const { stdout } = yield* runCommand(["config", "--list", "--json"], {})
      const list = yield* Schema.decodeEffect(Schema.fromJsonString(Shapes.SettingsList))(stdout)
      const code = (text: string | null) => (text === null ? "" : `\`${text}\``)
      const rows = list.map(
        (setting) =>
          `| ${[code(setting.variable), code(setting.option), code(setting.flag), setting.meaning, setting.default, setting.readers].join(" | ")} |`
      )
      const readme = readFileSync(join(root, "README.md"), "utf8")
      const [, rest = ""] = readme.split(
        "| variable | in code | flag | meaning | default | read by |\n| --- | --- | --- | --- | --- | --- |\n"
      )
      assert.deepStrictEqual(rest.split("\n\n")[0]!.split("\n"), rows)
    })
  )
})
