import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { findOnPath, main, root, run, start } from "./support/processes.ts"
import { temporaryFolder } from "./support/temporaryFolder.ts"

/** Stands in for the command line behind the guard: says which Node runs it, how signals arrive, and when it is alone. */
const commandLine = `
process.on("SIGTERM", () => { console.log("SIGTERM"); process.exit(5) })
process.on("SIGINT", () => { console.log("SIGINT"); process.exit(6) })
if (process.env.LANEKEEPER_OWNED) process.on("disconnect", () => { console.log("left alone"); process.exit() })
console.log(JSON.stringify({ version: process.version, args: process.argv.slice(2) }))
if (process.argv[2] === "wait") { setInterval(() => {}, 1000); console.log("ready") } else process.exit(7)
`

/** A package with the real guard, and a fetched Node when asked for. */
const makePackage = Effect.fnUntraced(function* (options: { readonly fetched: boolean }) {
  const folder = yield* temporaryFolder
  yield* Effect.promise(async () => {
    await mkdir(join(folder, "dist/cli"), { recursive: true })
    await mkdir(join(folder, ".node/bin"), { recursive: true })
    await copyFile(main, join(folder, "dist/main.js"))
    await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }))
    await writeFile(join(folder, "dist/cli/index.js"), commandLine)
    if (options.fetched) await symlink(process.execPath, join(folder, ".node/bin/node"))
  })
  return join(folder, "dist/main.js")
})

const isOld = (node: string) => /^v(1\d|20|21)\./.test(execFileSync(node, ["--version"], { encoding: "utf8" }))

/** Every way to be too old that this machine has: one always, and a real old Node where one is installed. */
const oldNodes: ReadonlyArray<ReadonlyArray<string>> = [
  [process.execPath, "--import", join(root, "test/support/pretendOldNode.mjs")],
  ...[findOnPath("node", isOld)].flatMap((node) => (node === undefined ? [] : [[node]]))
]

describe.concurrent("main", () => {
  for (const [node = "", ...flags] of oldNodes) {
    const name = flags.length === 0 ? node : "a pretended Node 20"

    it.live(`hands over from ${name} to the fetched Node, with arguments and exit status`, () =>
      Effect.gen(function* () {
        const guard = yield* makePackage({ fetched: true })
        const { code, stdout } = yield* run(node, [...flags, guard, "--flag", "a b"])
        assert.deepStrictEqual(JSON.parse(stdout), { version: process.version, args: ["--flag", "a b"] })
        assert.strictEqual(code, 7)
      })
    )

    it.live(`forwards signals through ${name}, and ends by the signal that ended the other`, () =>
      Effect.gen(function* () {
        const guard = yield* makePackage({ fetched: true })
        const endings = [
          ["SIGTERM", { code: 5, signal: null }],
          ["SIGINT", { code: 6, signal: null }],
          ["SIGHUP", { code: null, signal: "SIGHUP" }]
        ] as const
        for (const [signal, ending] of endings) {
          const running = yield* start(node, [...flags, guard, "wait"])
          yield* running.says("ready")
          yield* running.signal(signal)
          assert.deepInclude(yield* running.ended, ending)
        }
      })
    )

    it.live(`lets the fetched Node end when ${name} is killed`, () =>
      Effect.gen(function* () {
        const guard = yield* makePackage({ fetched: true })
        const running = yield* start(node, [...flags, guard, "wait"])
        yield* running.says("ready")
        yield* running.signal("SIGKILL")
        const { stdout } = yield* running.ended // when both have closed what they write to
        assert.match(stdout, /left alone\n$/)
      })
    )

    it.live(`ends with one sentence and 78 under ${name} when no other Node is there`, () =>
      Effect.gen(function* () {
        const guard = yield* makePackage({ fetched: false })
        const { code, stderr, stdout } = yield* run(node, [...flags, guard, "migrate"])
        assert.strictEqual(code, 78)
        assert.strictEqual(stdout, "")
        assert.match(stderr, /^lanekeeper needs Node\.js 22\.19 or newer and this is v20\.\S+: [^\n]+\.\n$/)
      })
    )
  }

  it.live("does not hand over a second time when the fetched Node is too old as well", () =>
    Effect.gen(function* () {
      const guard = yield* makePackage({ fetched: true })
      const always = `data:text/javascript,Object.defineProperty(process,"versions",{value:{node:"22.18.9"}})`
      const { code, stderr } = yield* run(process.execPath, ["--import", always, guard])
      assert.strictEqual(code, 78)
      assert.lengthOf(stderr.trim().split("\n"), 1)
    })
  )
})
