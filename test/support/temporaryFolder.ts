import * as Effect from "effect/Effect"
import { mkdtemp, realpath, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A folder of its own, removed with the scope. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.promise(async () => realpath(await mkdtemp(join(tmpdir(), "lanekeeper-test-")))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)
