/** What the README tells a newcomer to do, word for word, in a folder with nothing but the package and its peers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { eventually } from "../support/eventually.ts"
import { compile, install } from "../support/installed.ts"
import { root, run, start } from "../support/processes.ts"

const section = /^## Your first job\n(.*?)^## /ms.exec(readFileSync(join(root, "README.md"), "utf8"))![1]!

const blocks = (language: string) =>
  [...section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, text]) => text!)

/** The arguments of a line such as `npx lanekeeper jobs list`. */
const wordsOf = (line: string) =>
  [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!).slice(2)

describe("The README", () => {
  it.live(
    "leads to a first job, from the command line and from a program [LK-K2] [LK-A3]",
    () =>
      Effect.gen(function* () {
        const { app, installed } = yield* install
        const [jobs, main] = blocks("ts")
        yield* Effect.promise(() => writeFile(join(app, "jobs.ts"), jobs!))
        yield* Effect.promise(() => writeFile(join(app, "main.ts"), main!))
        const typed = yield* compile(app, "jobs.ts", "main.ts")
        assert.strictEqual(typed.code, 0, typed.stdout)

        const lines = blocks("sh").flatMap((text) => text.trim().split("\n"))
        const commands = lines.filter((line) => line.startsWith("npx lanekeeper ")).map(wordsOf)
        const [dev, ...others] = commands
        assert.deepStrictEqual(
          commands.map(([first]) => first),
          ["dev", "jobs", "jobs"]
        )
        const command = [join(installed, "dist/main.js")]
        const running = yield* start(process.execPath, [...command, ...dev!], { cwd: app })
        const [, DATABASE_URL] = /DATABASE_URL=(\S+)/.exec(yield* running.says("Started "))!
        const [enqueued, list] = yield* Effect.forEach(others, (args) =>
          Effect.tap(
            run(process.execPath, [...command, ...args], { cwd: app, env: { DATABASE_URL } }),
            ({ code, stderr }) => Effect.sync(() => assert.strictEqual(code, 0, stderr))
          )
        )
        assert.match(enqueued!.stdout, /^\S+ was enqueued\n$/)
        assert.match(list!.stdout, / greet +default +/)
        yield* running.says("Hello Ada")
        const own = yield* start(process.execPath, ["main.ts"], { cwd: app, env: { DATABASE_URL } })
        yield* own.says("It said: Hello Grace")
        const { code } = yield* own.ended
        assert.strictEqual(code, 0)
        yield* eventually(
          run(process.execPath, [...command, "jobs", "list", "--json"], { cwd: app, env: { DATABASE_URL } }),
          ({ stdout }) =>
            JSON.parse(stdout).jobs.every(({ place }: { readonly place: string }) => place === "completed")
        )
        yield* running.signal("SIGINT")
        assert.strictEqual((yield* running.ended).code, 0)
      }).pipe(Effect.scoped),
    90_000
  )
})
