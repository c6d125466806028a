import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { chmod, copyFile, mkdir, readdir, writeFile } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { root, run } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"

/** A bare clone on a machine whose Node is version 20 and whose npm is ours. */
const bareClone = Effect.fnUntraced(function* (npm: string) {
  const folder = yield* temporaryFolder
  const programs = join(folder, "bin")
  const clone = join(folder, "clone")
  yield* Effect.promise(async () => {
    await mkdir(join(clone, "scripts"), { recursive: true })
    await mkdir(programs)
    await copyFile(join(root, "scripts/setup"), join(clone, "scripts/setup"))
    await writeFile(join(clone, "package-lock.json"), "{}")
    const node = `[ "$1" = --version ] && echo v20.20.2 || exec "${process.execPath}" "$@"`
    for (const [name, body] of Object.entries({ node, npm })) {
      await writeFile(join(programs, name), `#!/bin/sh\n${body}\n`)
      await chmod(join(programs, name), 0o755)
    }
  })
  const env = { PATH: [programs, "/usr/bin", "/bin"].join(delimiter) }
  return { clone, setup: run(join(clone, "scripts/setup"), [], { env }) }
})

describe("scripts/setup", () => {
  it.live("does not use a Node that is not the one pinned", () =>
    Effect.gen(function* () {
      // `npm pack --pack-destination <folder> <name>@<version>` as a tampered registry would answer it
      const { clone, setup } = yield* bareClone(`
        while [ "$#" -gt 1 ]; do [ "$1" = --pack-destination ] && folder=$2; shift; done
        echo tampered > "$folder/$(echo "$1" | tr @ -).tgz"
      `)
      const { code, stderr } = yield* setup
      assert.strictEqual(code, 1)
      assert.match(stderr, /is not the one pinned here: not used\n$/)
      assert.isFalse(existsSync(join(clone, ".node/bin/node")))
      const left = yield* Effect.promise(() => readdir(join(clone, ".node")))
      assert.deepStrictEqual(
        left.filter((name) => name !== "lock"),
        []
      )
    })
  )

  it.live("says what to do when there is no network", () =>
    Effect.gen(function* () {
      const { setup } = yield* bareClone("exit 1")
      const { code, stderr } = yield* setup
      assert.strictEqual(code, 1)
      assert.match(stderr, /could not fetch node-\S+: look at the network, or install Node 22\.19 or newer\n$/)
    })
  )
})
