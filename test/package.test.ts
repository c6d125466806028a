import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, globSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { compile, install } from "./support/installed.ts"
import { run } from "./support/processes.ts"

describe("the package", () => {
  it.live("holds what a user needs and nothing else, and works from where it is installed", () =>
    Effect.gen(function* () {
      const { app, installed } = yield* install
      const files = globSync("**", { cwd: installed, withFileTypes: true, exclude: [] })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
      const wanted =
        /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|src\/.*\.ts|dist\/.*\.(js|d\.ts|js\.map|d\.ts\.map))$/
      assert.deepStrictEqual(
        files.filter((file) => !wanted.test(file)),
        []
      )
      const needed = ["README.md", "CHANGELOG.md", "LICENSE", "dist/main.js", "dist/index.d.ts", "dist/testing.js.map"]
      for (const file of needed) assert.isTrue(files.includes(file), file)
      const outputs = files.filter((file) => file.startsWith("dist/") && file.endsWith(".js"))
      for (const output of outputs) {
        const source = output.replace(/^dist\/(.*)\.js$/, "src/$1.ts")
        assert.isTrue(files.includes(source), `${output} comes of a source that is gone`)
      }

      const map: { sources: ReadonlyArray<string> } = JSON.parse(
        yield* Effect.promise(() => readFile(join(installed, "dist/index.js.map"), "utf8"))
      )
      for (const source of map.sources) assert.isTrue(existsSync(join(installed, "dist", source)), source)

      yield* Effect.promise(() =>
        writeFile(
          join(app, "app.ts"),
          `import { Migrations } from "lanekeeper"
           import { EmbeddedPostgres } from "lanekeeper/testing"
           const sql: string = Migrations.toSql()
           const inner = await import("lanekeeper/dist/main.js" as string).then(() => "open", (error) => error.code)
           console.log(JSON.stringify([sql.includes("BEGIN"), typeof EmbeddedPostgres.layer, inner]))\n`
        )
      )
      const types = compile(app, "app.ts")
      const application = run(process.execPath, ["app.ts"], { cwd: app })
      const bin = run(process.execPath, [join(installed, "dist/main.js"), "--version"], { cwd: app })
      const [typed, ran, version] = yield* Effect.all([types, application, bin], { concurrency: 3 })
      assert.strictEqual(typed.code, 0, typed.stdout)
      assert.strictEqual(ran.code, 0, ran.stderr)
      assert.deepStrictEqual(JSON.parse(ran.stdout), [true, "function", "ERR_PACKAGE_PATH_NOT_EXPORTED"])
      assert.strictEqual(version.code, 0, version.stderr)
    })
  )
})
