/** The image, as far as it can be made without a builder: its steps carried out one by one, and what comes of them run. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmod, cp, mkdir, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { build } from "../support/dockerfile.ts"
import { findOnPath, root, run, start } from "../support/processes.ts"
import { temporaryFolder } from "../support/temporaryFolder.ts"
import { TestDatabase } from "../support/TestDatabase.ts"

/**
 * In place of a registry: what `npm ci` would install is what lies here, once the files it goes by are there and the
 * same; what `npm install` would is the packed package and the peers in the versions that it is asked for.
 */
const npm = (real: string) => `#!/usr/bin/env bash
set -e
case "$1" in
  ci)
    for file in package.json package-lock.json .npmrc; do cmp "$file" "${root}/$file"; done
    ln -s "${root}/node_modules" node_modules ;;
  install)
    mkdir -p node_modules/lanekeeper node_modules/@effect
    for wanted in "$@"; do
      case "$wanted" in
        *.tgz) tar -xzf "$wanted" --strip-components=1 -C node_modules/lanekeeper ;;
        install | --*) ;;
        *)
          name="\${wanted%@*}"
          [ "$(node -p "require('${root}/node_modules/$name/package.json').version")" = "\${wanted##*@}" ]
          ln -s "${root}/node_modules/$name" "node_modules/$name" ;;
      esac
    done ;;
  cache) ;;
  *) exec "${real}" "$@" ;;
esac
`

describe("scripts/Dockerfile", () => {
  it.live(
    "makes something that maintains a database, stops when it is told to, and stands on the Node that is tested [LK-A3]",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const [context, programs] = [join(folder, "context"), join(folder, "programs")]
        const listed = yield* run("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root })
        yield* Effect.promise(async () => {
          const ignored = (await readFile(join(root, ".dockerignore"), "utf8")).trim().split("\n")
          for (const file of listed.stdout.trim().split("\n")) {
            if (ignored.some((one) => file === one || file.startsWith(`${one}/`))) continue
            await cp(join(root, file), join(context, file), { recursive: true }).catch(
              (error: NodeJS.ErrnoException) => {
                if (error.code !== "ENOENT") throw error // deleted, and not yet told to git
              }
            )
          }
          await mkdir(programs)
          await writeFile(join(programs, "npm"), npm(findOnPath("npm")!))
          await chmod(join(programs, "npm"), 0o755)
        })
        const path = [programs, dirname(process.execPath), "/usr/local/bin", "/usr/bin", "/bin"].join(":")
        const image = yield* build({
          dockerfile: join(root, "scripts/Dockerfile"),
          context,
          folder: join(folder, "stages"),
          path
        })
        const pinned = /node_version=(\d+)/.exec(
          yield* Effect.promise(() => readFile(join(root, "scripts/setup"), "utf8"))
        )
        assert.deepStrictEqual([...new Set(image.bases)], [`node:${pinned![1]}-slim`])

        const [node, ...args] = image.entry
        assert.strictEqual(node, "node")
        assert.strictEqual(args.at(-1), "maintenance")
        const { url } = yield* TestDatabase
        const env = { ...image.env, PATH: path, DATABASE_URL: url }
        const running = yield* start(process.execPath, args, { cwd: image.workdir, env })
        yield* running.says("Leading")
        yield* running.signal("SIGTERM")
        assert.strictEqual((yield* running.ended).code, 0)
        const version = yield* run(process.execPath, [...args.slice(0, -1), "--version"], { cwd: image.workdir, env })
        assert.match(version.stdout, /\d+\.\d+\.\d+/)
      }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer)),
    90_000
  )
})
