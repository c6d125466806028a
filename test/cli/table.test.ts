/** What people are shown, on a terminal and elsewhere. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { table } from "../../src/cli/table.ts"
import { main, run } from "../support/processes.ts"

describe("A table", () => {
  const rows = [
    { id: "3-1", kind: "send-email", reason: "the server refused the connection after thirty seconds of silence" },
    { id: "13-2000", kind: "import", reason: "" }
  ]

  it("is whole where nothing limits it, and aligned [LK-K7]", () => {
    assert.deepStrictEqual(table(rows).split("\n"), [
      "id       kind        reason",
      "3-1      send-email  the server refused the connection after thirty seconds of silence",
      "13-2000  import"
    ])
  })

  it("fits the terminal: the widest column gives way [LK-K7]", () => {
    const lines = table(rows, 50).split("\n")
    assert.deepStrictEqual(lines, [
      "id       kind        reason",
      "3-1      send-email  the server refused the conne…",
      "13-2000  import"
    ])
    for (const line of table(rows, 20).split("\n")) assert.isAtMost(line.length, 32) // no column vanishes
  })

  it("shows nothing a terminal would obey, and one line a row [LK-N3]", () => {
    const shown = table([{ reason: "a\nb\u001b[31mc\u0007" }])
    assert.deepStrictEqual(shown.split("\n"), ["reason", "a b [31mc"])
  })
})

describe("lanekeeper", () => {
  it.live("is plain without a terminal, and completes itself in every shell [LK-K7, LK-K1]", () =>
    Effect.gen(function* () {
      const list = yield* run(process.execPath, [main, "config", "--list"])
      assert.notInclude(list.stdout, "\u001b")
      for (const shell of ["bash", "zsh", "fish", "powershell"]) {
        const { code, stdout } = yield* run(process.execPath, [main, "--completions", shell])
        assert.strictEqual(code, 0)
        for (const word of ["lanekeeper", "doctor", "explain", "redrive"]) assert.include(stdout, word, shell)
      }
    })
  )

  it.live("writes its log as it is asked to, each field where it can be found [LK-K1]", () =>
    Effect.gen(function* () {
      const env = { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none", LANEKEEPER_STALE_AFTER: "6 seconds" }
      const written = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
        const { stderr, stdout } = yield* run(process.execPath, [main, "config", "--json", ...args], { env })
        assert.doesNotThrow(() => JSON.parse(stdout), "the log is beside the answer")
        return stderr.split("\n").find((line) => line.includes("heartbeats")) ?? assert.fail(stderr)
      })
      assert.match(yield* written(), /^time=\S+ level=WARN message="Workers are given up after less than three/)
      const line: unknown = JSON.parse(yield* written("--log-format=json"))
      assert.deepInclude(line, { level: "WARN" })
      const { code, stderr } = yield* run(process.execPath, [main, "config"], {
        env: { ...env, LANEKEEPER_LOG_FORMAT: "xml" }
      })
      assert.strictEqual(code, 78)
      assert.include(stderr, 'LANEKEEPER_LOG_FORMAT is "xml": it is auto or pretty or logfmt or json')
    })
  )
})
